/** Adds `count` no-op jobs by addBulk, `chunk` a call, and prints the jobs a second. */
import { Queue } from 'bullmq';

import { readArguments } from './lib/arguments.js';
import { seconds } from './lib/clock.js';
import { connectTo } from './lib/connection.js';
import { addJobs } from './lib/jobs.js';
import { report } from './lib/report.js';

const { port, queue: name, count, chunk } = readArguments();

const queue = new Queue(name, { connection: connectTo(port) });
await queue.waitUntilReady();
await addJobs(queue, chunk, chunk); // warms up the compiler and loads the scripts
await queue.obliterate();

const start = seconds();
const ids = await addJobs(queue, count, chunk);
const elapsed = seconds() - start;

const stored = await queue.getWaitingCount();
await queue.close();
report({ rate: count / elapsed }, { stored: { expected: new Set(ids).size, stored } });
