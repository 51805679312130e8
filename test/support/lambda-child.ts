/**
 * What Lambda's Node runtime is for a bundle: imports it once, and calls its handler with every event that comes.
 * `node lambda-child.ts <bundle>`, with a channel to whoever started it.
 */
interface Call {
  readonly id: number;
  readonly event: unknown;
  readonly functionName: string;
  readonly remainingMs: number;
}

const [bundle = ''] = process.argv.slice(2);
const began = performance.now();
const { handler } = (await import(bundle)) as { handler: (event: unknown, context: unknown) => Promise<unknown> };
process.send?.({ ready: performance.now() - began });

process.on('message', ({ id, event, functionName, remainingMs }: Call) => {
  const end = Date.now() + remainingMs;
  const context = {
    functionName,
    functionVersion: '1',
    awsRequestId: `request-${id}`,
    invokedFunctionArn: `arn:aws:lambda:eu-central-1:123456789012:function:${functionName}`,
    memoryLimitInMB: '1024',
    getRemainingTimeInMillis: () => Math.max(0, end - Date.now()),
  };
  handler(event, context).then(
    (result) => process.send?.({ id, result: JSON.stringify(result ?? null) }),
    (error: unknown) => {
      const { name, message } = error instanceof Error ? error : new Error(String(error));
      process.send?.({ id, error: { errorType: name, errorMessage: message } });
    },
  );
});
