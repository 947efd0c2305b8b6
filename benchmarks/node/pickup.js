/** Adds jobs one by one to an idle worker; prints the time from add to the handler's start. */
import { setTimeout as sleep } from 'node:timers/promises';

import { Queue, Worker } from 'bullmq';

import { readArguments } from './lib/arguments.js';
import { seconds } from './lib/clock.js';
import { connectTo } from './lib/connection.js';
import { addJob } from './lib/jobs.js';
import { report } from './lib/report.js';
import { Tally } from './lib/tally.js';

const PAUSE_MS = 5; // long enough for the worker to be idle again
const WARM_UP = 50;

const { port, queue: name, samples } = readArguments();

const connection = connectTo(port);
const queue = new Queue(name, { connection });
const tally = new Tally();
let handlerStarts;
const worker = new Worker(
  name,
  async (job) => {
    handlerStarts(seconds());
    tally.ran(job.id);
  },
  { connection },
);
await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()]);

const ids = [];
const latencies = [];
for (let round = 0; round < WARM_UP + samples; round += 1) {
  await sleep(PAUSE_MS);
  const started = new Promise((resolve) => {
    handlerStarts = resolve;
  });
  const start = seconds();
  const job = await addJob(queue);
  ids.push(job.id);
  const latency = (await started) - start;
  if (round >= WARM_UP) latencies.push(latency);
}

await worker.close();
await queue.close();
report({}, { samples: latencies, runs: tally.against(ids) });
