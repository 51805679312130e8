#!/usr/bin/env node
// The command `sluice`. Plain JavaScript, because it must start on every Node there is and say what is missing.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module, { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** The first Node that runs our TypeScript as it is and has node:sqlite; also what the Lambdas run. */
const NODE_MAJOR = 24;

const here = dirname(fileURLToPath(import.meta.url));
// A clone has the sources. An installed package has only the bundle: Node strips no types under node_modules.
const source = join(here, 'main.ts');
const entry = existsSync(source) ? source : join(here, '..', 'dist', 'main.js');

if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR) {
  // Starts in half the time from the second start on; older Nodes have no such cache.
  module.enableCompileCache?.();
  const { main } = await import(pathToFileURL(entry).href);
  process.exitCode = await main(process.argv.slice(2));
} else {
  const node = nodeOfPackage();
  if (node === undefined) {
    process.stderr.write(
      `Sluice needs Node ${NODE_MAJOR} or newer; this is ${process.version}.\n` +
        `Install it from https://nodejs.org, or beside Sluice: npm install --save-dev node@${NODE_MAJOR}\n`,
    );
    process.exitCode = 1;
  } else {
    runWith(node);
  }
}

/** The binary that the npm package `node` brings, when it is installed where Sluice or the caller can see it. */
function nodeOfPackage() {
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    try {
      const require = createRequire(from);
      const manifest = require.resolve('node/package.json');
      const binary = join(dirname(manifest), require(manifest).bin.node);
      if (existsSync(binary)) return binary;
    } catch {
      // not installed there
    }
  }
  return undefined;
}

/** Runs this file again under `node`, passing signals on, and ends as it ended. */
function runWith(node) {
  const onTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  // A terminal sends Ctrl-C to both of us; the child decides what it means, and we wait for it.
  process.on('SIGINT', () => onTerminal || child.kill('SIGINT'));
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('error', (error) => {
    process.stderr.write(`Could not start ${node}: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exitCode = code ?? 1;
    else {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    }
  });
}
