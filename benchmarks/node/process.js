/** Processes `count` jobs that wait already, and prints the jobs a second. */
import { Queue, Worker } from 'bullmq';

import { readArguments } from './lib/arguments.js';
import { seconds } from './lib/clock.js';
import { connectTo } from './lib/connection.js';
import { addJobs } from './lib/jobs.js';
import { report } from './lib/report.js';
import { Tally } from './lib/tally.js';

const { port, queue: name, count, concurrency, chunk } = readArguments();

const connection = connectTo(port);
const queue = new Queue(name, { connection });
const ids = await addJobs(queue, count, chunk);

const tally = new Tally();
const worker = new Worker(name, async (job) => tally.ran(job.id), {
  connection,
  concurrency,
  autorun: false,
});
await worker.waitUntilReady();

const allCompleted = new Promise((resolve, reject) => {
  let completed = 0;
  worker.on('completed', () => {
    completed += 1;
    if (completed === count) resolve();
  });
  worker.on('failed', (_job, error) => reject(error));
});

const start = seconds();
worker.run();
await allCompleted;
const elapsed = seconds() - start;

await worker.close();
const stored = await queue.getCompletedCount();
await queue.close();
report(
  { rate: count / elapsed },
  { runs: tally.against(ids), stored: { expected: count, stored } },
);
