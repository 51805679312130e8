import { standIns, startSandbox } from '../../sandbox/index.ts';
import type { Sandbox } from '../../sandbox/server.ts';

/** What a function URL gives and takes: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads, read 2026-11-25. */
export interface UrlEvent {
  readonly rawPath: string;
  readonly rawQueryString: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly requestContext: { readonly http: { readonly method: string } };
  readonly body?: string;
  readonly isBase64Encoded: boolean;
}

let opened: Promise<Sandbox> | undefined;

/** The sandbox behind a function URL: what it holds is in this process, so requests must come one at a time. */
export async function handler(event: UrlEvent): Promise<{
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly isBase64Encoded: boolean;
}> {
  opened ??= startSandbox(Object.values(standIns));
  const { url } = await opened;
  const { rawPath, rawQueryString, headers, requestContext, body, isBase64Encoded } = event;
  const { host: _host, 'content-length': _length, ...rest } = headers;
  const answer = await fetch(`${url}${rawPath}${rawQueryString === '' ? '' : `?${rawQueryString}`}`, {
    method: requestContext.http.method,
    headers: rest,
    ...(body !== undefined && { body: Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8') }),
  });
  return {
    statusCode: answer.status,
    headers: Object.fromEntries(
      [...answer.headers].filter(([name]) => !/^(content-encoding|content-length|transfer-encoding|connection)$/.test(name)),
    ),
    body: Buffer.from(await answer.arrayBuffer()).toString('base64'),
    isBase64Encoded: true,
  };
}
