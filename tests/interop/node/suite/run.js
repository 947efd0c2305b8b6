/**
 * Runs the scenarios with BullMQ's Worker or with Toril's in its place, and writes a line of JSON
 * for each: {"group": "…", "scenario": "…", "error": null, "wrong": [], "ms": 12}
 *
 *   node suite/run.js '{"kind": "toril", "port": 6379, "python": "python3", "root": "/…"}'
 */
import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import IORedis from 'ioredis';

import { Stage, allScenarios } from './stage.js';
import { endToril, useToril } from './toril.js';

const TIMEOUT_MS = 60_000;
const config = JSON.parse(process.argv[2]);
useToril(config.python, config.root);

const folder = fileURLToPath(new URL('scenarios/', import.meta.url));
for (const file of (await readdir(folder)).sort()) await import(`./scenarios/${file}`);

const connection = new IORedis({ port: config.port, maxRetriesPerRequest: null });

async function within(promise, what) {
  const given = new AbortController();
  const late = sleep(TIMEOUT_MS, null, { signal: given.signal }).then(() => {
    throw new Error(`not over after ${TIMEOUT_MS / 1000} s, waiting for ${what()}`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    given.abort();
  }
}

/** Returns null, or what went wrong. */
async function failureOf(attempt, what) {
  try {
    await within(attempt(), what);
    return null;
  } catch (error) {
    return error?.message ?? String(error);
  }
}

async function play({ group, title, run }) {
  const stage = new Stage(config.kind, connection);
  const begun = Date.now();
  let wrong = [];
  const failure = await failureOf(() => run(stage), () => stage.waitsFor);
  const atEnd = await failureOf(async () => { wrong = await stage.end(); }, () => 'the end');
  const ms = Date.now() - begun;
  const line = { group, scenario: title, error: failure ?? atEnd, wrong, ms };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const chosen = allScenarios()
  .filter(({ group, title }) => `${group}: ${title}`.includes(config.only ?? ''));
async function playAll() {
  while (chosen.length > 0) await play(chosen.shift());
}
process.on('unhandledRejection', () => {}); // of a scenario that has failed already
process.stdin.resume().on('end', () => { endToril(); process.exit(1); });
await Promise.all(Array.from({ length: config.at_once }, playAll));
endToril();
process.exit(0);
