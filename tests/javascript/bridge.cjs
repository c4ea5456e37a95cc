// Reads one call a line, {client, command, input}, makes it with AWS's SDK, and writes the outcome as one line.
// Bytes go both ways as {"$bytes": base64}. The client "sceptic" has a broken MD5, which no answer can satisfy.

const readline = require("node:readline");
const sqs = require("@aws-sdk/client-sqs");
const lambda = require("@aws-sdk/client-lambda");

class BrokenMd5 {
  update() {}
  async digest() {
    return new Uint8Array(16);
  }
}

const once = { maxAttempts: 1 };
const clients = {
  sqs: [sqs, new sqs.SQSClient(once)],
  lambda: [lambda, new lambda.LambdaClient(once)],
  sceptic: [sqs, new sqs.SQSClient({ ...once, md5: BrokenMd5 })],
};

const read = (key, value) => (value && value.$bytes !== undefined ? Buffer.from(value.$bytes, "base64") : value);
const write = (key, value) =>
  value instanceof Uint8Array || (value && value.type === "Buffer")
    ? { $bytes: Buffer.from(value.data ?? value).toString("base64") }
    : value;

async function call({ client, command, input }) {
  const [module, sender] = clients[client];
  try {
    const { $metadata, ...output } = await sender.send(new module[`${command}Command`](input));
    return { status: $metadata.httpStatusCode, output };
  } catch (error) {
    const modelled = module[error.name];
    const base = module === sqs ? sqs.SQSServiceException : lambda.LambdaServiceException;
    return {
      error: error.name,
      message: error.message,
      status: error.$metadata?.httpStatusCode,
      fault: error.$fault,
      modelled: typeof modelled === "function" && error instanceof modelled,
      service: error instanceof base,
    };
  }
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await call(JSON.parse(line, read)), write) + "\n");
  }
}

main();
