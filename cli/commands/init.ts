import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, CommandFailed, EXIT } from '../command.ts';
import { sampleTables } from '../init/sample.ts';
import { TEMPLATES } from '../init/templates.ts';
import { PACKAGE_ROOT } from '../package-root.ts';

/** State, secrets and the member key stay on the machine. */
const IGNORE = '.sluice/\n';

export const init: Command = {
  name: 'init',
  summary: 'start a workspace: the folders, an example of each file, sample data',
  arguments: '[folder]',
  takes: [0, 1],
  options: {},
  details: `Writes audiences/, contracts/, destinations/, policies/, schemas/ (for editors) and data/ (a sample), and .gitignore.
Never overwrites: where one of these files exists already, nothing at all is written.

  sluice init && sluice plan`,
  async run({ arguments: [folder], dir, json, terminal, clock }) {
    const root = folder === undefined ? dir : join(dir, folder);
    const files: Record<string, string> = { ...TEMPLATES, ...sampleTables(clock.now()) };
    const taken = Object.keys(files).filter((path) => existsSync(join(root, path)));
    for (const name of ['audiences', 'contracts', 'destinations', 'policies']) {
      const there = existsSync(join(root, name)) ? await readdir(join(root, name)) : [];
      taken.push(...there.map((entry) => `${name}/${entry}`).filter((path) => !taken.includes(path)));
    }
    const [first] = taken.sort((a, b) => a.localeCompare(b));
    if (first !== undefined) {
      throw new CommandFailed(
        `There is a workspace here already (${first}). Nothing was written. Choose an empty folder: sluice init <folder>`,
      );
    }

    const schemas = fileURLToPath(new URL('schemas/', PACKAGE_ROOT));
    const written = Object.keys(files);
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), text, { flag: 'wx' });
    }
    for (const name of existsSync(schemas) ? await readdir(schemas) : []) {
      if (existsSync(join(root, 'schemas', name))) continue;
      await mkdir(join(root, 'schemas'), { recursive: true });
      await copyFile(join(schemas, name), join(root, 'schemas', name));
      written.push(`schemas/${name}`);
    }
    const ignore = join(root, '.gitignore');
    if (!existsSync(ignore)) {
      await writeFile(ignore, IGNORE, { flag: 'wx' });
      written.push('.gitignore');
    } else if (
      !(await readFile(ignore, 'utf8')).split('\n').some((line) => line.trim().replace(/^\//, '').startsWith('.sluice'))
    ) {
      terminal.say('Add ".sluice/" to your .gitignore: state and secrets live there.');
    }

    if (json) terminal.print(JSON.stringify(written));
    else {
      for (const path of written) terminal.print(path);
      terminal.say(`\nNow: ${folder === undefined ? '' : `cd ${folder} && `}sluice check && sluice plan`);
    }
    return EXIT.done;
  },
};
