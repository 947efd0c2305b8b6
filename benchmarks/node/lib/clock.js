/** Monotonic seconds. */
export function seconds() {
  return performance.now() / 1000;
}
