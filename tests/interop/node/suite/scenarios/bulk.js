import assert from 'node:assert/strict';

import { about, scenario } from '../stage.js';

about('bulk');

scenario('jobs that are added together run in their order', async (s) => {
  const order = [];
  const jobs = await s.queue().addBulk(['a', 'b', 'c', 'd'].map((name) => ({ name, data: { name } })));
  await s.work(async ({ data }) => { order.push(data.name); });
  await s.results(jobs);
  assert.deepEqual(order, ['a', 'b', 'c', 'd']);
});

scenario('jobs that are added together have options of their own', async (s) => {
  const order = [];
  const jobs = await s.queue().addBulk([
    { name: 'late', opts: { delay: 100 } },
    { name: 'low', opts: { priority: 5 } },
    { name: 'high', opts: { priority: 2 } },
    { name: 'plain', data: {} },
    { name: 'lifo', opts: { lifo: true } },
  ]);
  await s.work(async ({ name }) => { order.push(name); });
  await s.results(jobs);
  assert.ok(order.includes('late'));
  assert.deepEqual(order.filter((name) => name !== 'late'), ['lifo', 'plain', 'high', 'low']);
});

scenario('jobs that are added together keep the ids that they were given', async (s) => {
  await s.work(async ({ id }) => id, { concurrency: 4 });
  const jobs = await s.queue().addBulk(['x', 'y', 'z'].map((jobId) => (
    { name: 'a', opts: { jobId } })));
  assert.deepEqual(await s.results(jobs), ['x', 'y', 'z']);
});

scenario('a thousand jobs that are added together all run once', async (s) => {
  const runs = new Map();
  await s.work(async ({ id }) => { runs.set(id, (runs.get(id) ?? 0) + 1); }, { concurrency: 50 });
  const jobs = await s.queue().addBulk(Array.from({ length: 1000 }, (_, n) => (
    { name: 'a', data: { n } })));
  await s.until(async () => await s.queue().getCompletedCount() === 1000, 'all to complete');
  assert.equal(runs.size, jobs.length);
  assert.ok([...runs.values()].every((n) => n === 1));
});

scenario('jobs that are added together can be the children of a job', async (s) => {
  const parent = await s.queue('parents').add('parent', {}, { delay: 600_000 });
  const opts = { parent: { id: parent.id, queue: s.queue('parents').qualifiedName } };
  const jobs = await s.queue().addBulk([{ name: 'x', opts }, { name: 'y', opts }]);
  assert.equal((await parent.getDependenciesCount()).unprocessed, 2);
  await s.work(async ({ name }) => name);
  await s.results(jobs);
  const values = await parent.getChildrenValues();
  assert.deepEqual(Object.values(values).toSorted(), ['x', 'y']);
});

scenario('idle workers are busy as soon as many jobs are added', async (s) => {
  const gate = s.gate();
  let now = 0;
  const processor = async () => { now += 1; await gate.wait(); };
  await s.work(processor, { concurrency: 2 });
  await s.work(processor, { concurrency: 2 });
  const jobs = await s.queue().addBulk(Array.from({ length: 6 }, () => ({ name: 'a' })));
  await s.until(() => now === 4, 'four to run');
  gate.open();
  await s.results(jobs);
});
