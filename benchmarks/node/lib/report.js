/** Print one measurement as one line of JSON. */
export function report(values, extra = {}) {
  process.stdout.write(`${JSON.stringify({ values, ...extra })}\n`);
}
