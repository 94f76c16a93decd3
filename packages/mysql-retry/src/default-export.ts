/** A driver's default export with ours in place of its own; its getters stay getters, and it stays as it is. */
export function inPlaceOf<D extends object>(driver: D, ours: Readonly<Record<string, unknown>>): D {
  const drop: D = Object.create(
    Object.getPrototypeOf(driver),
    Object.getOwnPropertyDescriptors(driver),
  );
  for (const [name, value] of Object.entries(ours)) {
    Object.defineProperty(drop, name, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return drop;
}
