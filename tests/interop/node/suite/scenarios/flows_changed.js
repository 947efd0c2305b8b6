import assert from 'node:assert/strict';

import { kids, workers } from '../families.js';
import { about, scenario } from '../stage.js';

about('flows');

scenario('a parent knows its children while they run', async (s) => {
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['bad', 'good', 'never'],
    { ignoreDependencyOnFailure: true }));
  const gate = s.gate();
  await s.work(async ({ name }) => {
    if (name === 'never') await gate.wait();
    if (name === 'bad') throw new Error('bad');
    return name;
  }, { queue: 'kids' });
  await s.reaches('never', 'active', 'kids');
  assert.deepEqual(await job.getDependenciesCount(), { processed: 1, unprocessed: 1, ignored: 1, failed: 0 });
  const { processed, unprocessed } = await job.getDependencies();
  assert.deepEqual(Object.values(processed), ['good']);
  assert.match(unprocessed[0], /never$/);
  gate.open();
  await s.reaches('parent', 'waiting');
});

scenario('a flow can be read as a tree', async (s) => {
  await s.flow('q', 'parent', {}, [s.node('kids', 'x', {}, [s.node('kids', 'grandkid')])]);
  await workers(s);
  await s.reaches('parent', 'completed');
  const tree = await s.flows().getFlow({ id: 'parent', queueName: s.name(), prefix: s.prefix });
  assert.equal(tree.job.id, 'parent');
  assert.equal(tree.children[0].job.id, 'x');
  assert.equal(tree.children[0].children[0].job.id, 'grandkid');
});

scenario('a removed child lets its parent go on', async (s) => {
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['x', 'y']));
  await s.queue('kids').remove('x');
  await workers(s);
  assert.deepEqual((await s.result(job)).values, ['y']);
});

scenario('a parent goes on when its last child is removed', async (s) => {
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['x']));
  await s.work(async () => 'ran');
  await s.queue('kids').remove('x');
  assert.equal(await s.result(job), 'ran');
});

scenario('a removed parent takes its children along', async (s) => {
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['x', 'y']));
  await job.remove();
  assert.equal(await s.queue('kids').getJobCountByTypes('waiting'), 0);
  const ran = [];
  await s.work(async ({ name }) => { ran.push(name); }, { queue: 'kids' });
  await s.result(await s.queue('kids').add('other'), 'kids');
  assert.deepEqual(ran, ['other']);
});

scenario('a removed parent can leave its children', async (s) => {
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['x']));
  await job.remove({ removeChildren: false });
  await workers(s);
  await s.reaches('x', 'completed', 'kids');
  assert.equal(await s.queue().getJob('parent'), undefined);
});

scenario('a flow in which a job runs is not removed', async (s) => {
  const gate = s.gate();
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['x']));
  await s.work(async () => gate.wait(), { queue: 'kids' });
  await s.reaches('x', 'active', 'kids');
  await assert.rejects(job.remove(), /locked|could not be removed/i);
  gate.open();
  await s.reaches('parent', 'waiting');
});

scenario('children that have not run can be removed from their parent', async (s) => {
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['x', 'y', 'z']));
  const gate = s.gate();
  await s.work(async ({ name }) => { if (name === 'y') await gate.wait(); }, { queue: 'kids' });
  await s.reaches('y', 'active', 'kids');
  await job.removeUnprocessedChildren();
  assert.equal(await s.queue('kids').getJobState('z'), 'unknown');
  gate.open();
  await s.reaches('parent', 'waiting');
});

scenario('a child can leave its parent', async (s) => {
  const { job, children } = await s.flow('q', 'parent', {}, kids(s, ['x']));
  await s.work(async () => 'ran');
  await children[0].job.removeChildDependency();
  assert.equal(await s.result(job), 'ran');
  await s.work(async () => 'alone', { queue: 'kids' });
  await s.reaches('x', 'completed', 'kids');
});

scenario('a failed child that is retried and succeeds releases its parent', async (s) => {
  let fail = true;
  await s.work(async () => { if (fail) throw new Error('once'); return 'ok'; }, { queue: 'kids' });
  await s.work(async (job) => Object.values(await job.getChildrenValues()));
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['x']));
  await s.reaches('x', 'failed', 'kids');
  fail = false;
  await (await s.queue('kids').getJob('x')).retry();
  assert.deepEqual(await s.result(job), ['ok']);
});

scenario('a child that is retried is waited for again', async (s) => {
  let fail = true;
  const gate = s.gate();
  await s.work(async ({ name }) => {
    if (name === 'slow') await gate.wait();
    if (name === 'x' && fail) throw new Error('once');
    return name;
  }, { queue: 'kids', concurrency: 2 });
  await s.work(async (job) => Object.values(await job.getChildrenValues()).toSorted());
  const { job } = await s.flow('q', 'parent', {},
    kids(s, ['x', 'slow'], { ignoreDependencyOnFailure: true }));
  await s.reaches('x', 'failed', 'kids');
  fail = false;
  await (await s.queue('kids').getJob('x')).retry();
  await s.reaches('x', 'completed', 'kids');
  gate.open();
  assert.deepEqual(await s.result(job), ['slow', 'x']);
});
