/** The workers and the nodes of flows. */

/** Run children: by their names they fail, or return their names. Parents return what they got. */
export async function workers(s, opts = {}) {
  await s.work(async ({ name }) => {
    if (name.startsWith('bad')) throw new Error(`${name} is bad`);
    return name;
  }, { queue: 'kids', concurrency: 3, ...opts });
  await s.work(async (job) => ({
    values: Object.values(await job.getChildrenValues()).toSorted(),
    ignored: Object.values(await job.getIgnoredChildrenFailures()),
  }));
}

export const kids = (s, names, opts = {}) => names.map((name) => s.node('kids', name, opts));
