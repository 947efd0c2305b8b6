import assert from 'node:assert/strict';

import { about, scenario } from '../stage.js';

about('schedulers');

/** A worker that notes what it ran. */
async function noting(s, opts = {}, then = () => {}) {
  const ran = [];
  await s.work(async (job) => {
    ran.push(job);
    return then(job);
  }, opts);
  return ran;
}

const pending = async (s) => await s.queue().getJobCountByTypes('delayed', 'waiting', 'prioritized');

scenario('a schedule runs a job again and again', async (s) => {
  const ran = await noting(s);
  await s.queue().upsertJobScheduler('tick', { every: 200 });
  await s.until(() => ran.length >= 4, 'four runs');
  await s.queue().removeJobScheduler('tick');
});

scenario('the runs of a schedule are as far apart as it says', async (s) => {
  const ran = await noting(s);
  await s.queue().upsertJobScheduler('tick', { every: 300 });
  await s.until(() => ran.length >= 4, 'four runs');
  await s.queue().removeJobScheduler('tick');
  const due = ran.slice(0, 4).map(({ id }) => Number(id.split(':').at(-1)));
  assert.deepEqual(new Set(due).size, 4);
  assert.ok(due.slice(1).every((at, n) => (at - due[n]) % 300 === 0), due);
});

scenario('a schedule gives its jobs a name, data and options', async (s) => {
  const ran = await noting(s, {}, ({ attemptsMade }) => {
    if (attemptsMade === 0) throw new Error('once');
  });
  await s.queue().upsertJobScheduler('tick', { every: 500, limit: 1 }, {
    name: 'report', data: { month: 3 }, opts: { attempts: 2, backoff: 20, priority: 4 },
  });
  await s.until(() => ran.length >= 2, 'two attempts');
  const [{ name, data, opts }] = ran;
  assert.deepEqual([name, data, opts.attempts, opts.priority], ['report', { month: 3 }, 2, 4]);
});

scenario('a schedule with a limit stops at it', async (s) => {
  const ran = await noting(s);
  await s.queue().upsertJobScheduler('tick', { every: 100, limit: 3 });
  await s.until(() => ran.length >= 3, 'three runs');
  const other = await s.add('later', {}, { delay: 500 });
  await s.result(other);
  assert.equal(ran.filter(({ name }) => name !== 'later').length, 3);
});

scenario('a schedule with an end stops at it', async (s) => {
  const ran = await noting(s);
  const endDate = Date.now() + 1500;
  await s.queue().upsertJobScheduler('tick', { every: 300, endDate });
  await s.until(() => Date.now() > endDate + 700, 'the end');
  assert.ok(ran.length >= 1);
  assert.ok(ran.every(({ id }) => Number(id.split(':').at(-1)) <= endDate + 300));
  assert.equal(await pending(s), 0);
});

scenario('a schedule starts when it says', async (s) => {
  const ran = await noting(s, {}, () => Date.now());
  const startDate = Date.now() + 800;
  await s.queue().upsertJobScheduler('tick', { every: 300, startDate });
  await s.until(() => ran.length >= 2, 'two runs');
  await s.queue().removeJobScheduler('tick');
  assert.ok(Number(ran[0].id.split(':').at(-1)) >= startDate - 1, ran[0].id);
});

scenario('a schedule by a cron pattern runs every second', async (s) => {
  const ran = await noting(s);
  await s.queue().upsertJobScheduler('tick', { pattern: '* * * * * *', tz: 'Europe/Prague' });
  await s.until(() => ran.length >= 3, 'three runs');
  await s.queue().removeJobScheduler('tick');
  const due = ran.slice(0, 3).map(({ id }) => Number(id.split(':').at(-1)));
  assert.ok(due.every((at) => at % 1000 === 0), due);
});

scenario('the next run by a cron pattern is right in another time zone', async (s) => {
  const ran = await noting(s);
  await s.queue().upsertJobScheduler('noon', { pattern: '30 12 * * *', tz: 'Asia/Kathmandu' });
  const [first] = await s.queue().getDelayed();
  await first.promote();
  await s.until(() => ran.length === 1, 'the run');
  const [next] = await s.until(async () => {
    const found = await s.queue().getDelayed();
    return found.length === 1 && found;
  }, 'the next job');
  const clock = new Intl.DateTimeFormat('en-GB', {
    timeZone: 'Asia/Kathmandu', hour: '2-digit', minute: '2-digit',
  });
  assert.equal(clock.format(new Date(Number(next.id.split(':').at(-1)))), '12:30');
});

scenario('a schedule has one pending job at any time', async (s) => {
  const ran = await noting(s, { concurrency: 3 });
  await s.queue().upsertJobScheduler('tick', { every: 150 });
  let most = 0;
  await s.until(async () => {
    most = Math.max(most, await pending(s));
    return ran.length >= 6;
  }, 'six runs');
  await s.queue().removeJobScheduler('tick');
  assert.equal(most, 1);
});

scenario('several schedules of a queue all run', async (s) => {
  const ran = await noting(s, { concurrency: 3 });
  for (const id of ['a', 'b', 'c']) {
    await s.queue().upsertJobScheduler(id, { every: 200 }, { name: id });
  }
  await s.until(() => ['a', 'b', 'c'].every((id) => ran.filter(({ name }) => name === id).length >= 3),
    'three runs of each');
  for (const id of ['a', 'b', 'c']) await s.queue().removeJobScheduler(id);
});

scenario('a schedule goes on after a job that failed', async (s) => {
  const ran = await noting(s, {}, () => { throw new Error('no'); });
  await s.queue().upsertJobScheduler('tick', { every: 150 });
  await s.until(() => ran.length >= 3, 'three runs');
  await s.queue().removeJobScheduler('tick');
  await s.until(async () => await s.queue().getFailedCount() >= 3, 'three failures');
});

scenario('a removed schedule runs no more', async (s) => {
  const ran = await noting(s);
  await s.queue().upsertJobScheduler('tick', { every: 150 });
  await s.until(() => ran.length >= 2, 'two runs');
  assert.equal(await s.queue().removeJobScheduler('tick'), true);
  await s.until(async () => await s.queue().getActiveCount() === 0, 'the last run to end');
  const before = ran.length;
  await s.result(await s.add('other', {}, { delay: 600 }));
  assert.equal(ran.length, before + 1);
  assert.equal(await pending(s), 0);
  assert.equal(await s.queue().removeJobScheduler('tick'), false);
});

scenario('a removed schedule can be made again', async (s) => {
  const ran = await noting(s);
  for (const round of [1, 2]) {
    const before = ran.length;
    await s.queue().upsertJobScheduler('tick', { every: 150 });
    await s.until(() => ran.length >= before + 2, `two runs in round ${round}`);
    await s.queue().removeJobScheduler('tick');
  }
});

scenario('a schedule that is made again with another interval keeps one job', async (s) => {
  const ran = await noting(s);
  await s.queue().upsertJobScheduler('tick', { every: 600_000 });
  await s.queue().upsertJobScheduler('tick', { every: 200 });
  await s.until(() => ran.length >= 3, 'three runs');
  assert.ok(await pending(s) <= 1);
  assert.equal((await s.queue().getJobSchedulers()).length, 1);
  await s.queue().removeJobScheduler('tick');
});

scenario('a schedule can be changed by its own job', async (s) => {
  const ran = await noting(s, {}, async (job) => {
    if (job.name === 'old') await s.queue().upsertJobScheduler('tick', { every: 200 }, { name: 'new' });
  });
  await s.queue().upsertJobScheduler('tick', { every: 300 }, { name: 'old' });
  await s.until(() => ran.filter(({ name }) => name === 'new').length >= 3, 'three new runs');
  assert.ok(await pending(s) <= 1);
  await s.queue().removeJobScheduler('tick');
});

scenario('a schedule can be removed by its own job', async (s) => {
  const ran = await noting(s, {}, async (job) => {
    if (job.name === 'once') await s.queue().removeJobScheduler('tick');
  });
  await s.queue().upsertJobScheduler('tick', { every: 200 }, { name: 'once' });
  await s.until(() => ran.length >= 1, 'a run');
  await s.result(await s.add('other', {}, { delay: 800 }));
  assert.equal(ran.filter(({ name }) => name === 'once').length, 1);
  assert.equal(await pending(s), 0);
});

scenario('a schedule says how often it ran and when it runs next', async (s) => {
  const ran = await noting(s);
  await s.queue().upsertJobScheduler('tick', { every: 600_000 });
  await s.until(() => ran.length === 1, 'the first run');
  await s.until(async () => (await s.queue().getJobScheduler('tick')).iterationCount === 2, 'the second');
  const { next, every } = await s.queue().getJobScheduler('tick');
  assert.equal(Number(every), 600_000);
  assert.ok(next > Date.now());
  const [job] = await s.queue().getDelayed();
  assert.equal(Number(job.id.split(':').at(-1)), next);
});

scenario('a promoted job of a schedule does not double it', async (s) => {
  const ran = await noting(s);
  await s.queue().upsertJobScheduler('noon', { pattern: '0 12 * * *', tz: 'UTC' });
  for (const n of [1, 2, 3]) {
    const [job] = await s.until(async () => {
      const found = await s.queue().getDelayed();
      return found.length === 1 && found;
    }, 'a pending job');
    await job.promote();
    await s.until(() => ran.length === n, `run ${n}`);
  }
  await s.until(async () => await s.queue().getDelayedCount() === 1, 'one pending job');
});

scenario('a failed job of a schedule that is retried does not double it', async (s) => {
  let fail = true;
  const ran = await noting(s, {}, () => { if (fail) throw new Error('once'); });
  await s.queue().upsertJobScheduler('noon', { pattern: '0 12 * * *', tz: 'UTC' });
  const [job] = await s.queue().getDelayed();
  await job.promote();
  await s.reaches(job, 'failed');
  fail = false;
  await (await s.queue().getJob(job.id)).retry();
  await s.reaches(job, 'completed');
  assert.equal(ran.length, 2);
  assert.equal(await s.queue().getDelayedCount(), 1);
});

scenario('draining leaves a schedule', async (s) => {
  const ran = await noting(s);
  await s.queue().upsertJobScheduler('tick', { every: 300 });
  await s.queue().drain(true);
  await s.until(() => ran.length >= 2, 'two runs');
  await s.queue().removeJobScheduler('tick');
});

scenario('the pending job of a schedule cannot be removed', async (s) => {
  await s.queue().upsertJobScheduler('noon', { pattern: '0 12 * * *', tz: 'UTC' });
  const [job] = await s.queue().getDelayed();
  await assert.rejects(job.remove());
  const ran = await noting(s);
  await job.promote();
  await s.until(() => ran.length === 1, 'the run');
});

scenario('a paused queue goes on with its schedule after a resume', async (s) => {
  const ran = await noting(s);
  await s.queue().upsertJobScheduler('tick', { every: 200 });
  await s.until(() => ran.length >= 2, 'two runs');
  await s.queue().pause();
  await s.until(async () => await s.queue().getActiveCount() === 0, 'the last run to end');
  const before = ran.length;
  await s.queue().resume();
  await s.until(() => ran.length >= before + 2, 'two more runs');
  await s.queue().removeJobScheduler('tick');
});

scenario('two workers do not double a schedule', async (s) => {
  const runs = [];
  for (let n = 0; n < 2; n += 1) await s.work(async ({ id }) => { runs.push(id); });
  await s.queue().upsertJobScheduler('tick', { every: 100 });
  await s.until(() => runs.length >= 8, 'eight runs');
  await s.queue().removeJobScheduler('tick');
  assert.equal(new Set(runs).size, runs.length);
});

scenario('jobs of a schedule that are not kept leave nothing behind', async (s) => {
  const ran = await noting(s);
  await s.queue().upsertJobScheduler('tick', { every: 100 }, { opts: { removeOnComplete: true } });
  await s.until(() => ran.length >= 4, 'four runs');
  await s.queue().removeJobScheduler('tick');
  await s.until(async () => await s.queue().getActiveCount() === 0, 'the last run to end');
  assert.equal(await s.queue().getCompletedCount(), 0);
});
