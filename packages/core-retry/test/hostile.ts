/** Things that may be thrown and that bite who reads them. */
export function hostileErrors(): readonly unknown[] {
  const bite = (): never => {
    throw new Error('bite');
  };
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  return [
    undefined,
    null,
    0n,
    Symbol('s'),
    '',
    () => 1,
    { toString: bite, [Symbol.toPrimitive]: bite },
    Object.create(null),
    Object.defineProperty(new Error('m'), 'message', { get: bite }),
    Object.defineProperty(new Error('m'), 'name', { get: bite }),
    Object.assign(new Error('m'), { name: 7, code: {} }),
    { name: '', message: {}, constructor: undefined },
    new Proxy(new Error('m'), { get: bite, getPrototypeOf: bite, has: bite }),
    revoked.proxy,
    Object.freeze(new Error('frozen')),
  ];
}

/** Texts that carry the canary as a password, each in a way of its own. */
export function leaks(canary: string): readonly string[] {
  return [
    `connect to postgres://app:${canary}@db.internal:5432/shop failed`,
    `password=${canary}`,
    `Authorization: Bearer ${canary}`,
    `GET https://api.test/x?api_key=${canary}&v=1`,
    `{"token":"${canary}"}`,
    `ALTER ROLE app PASSWORD '${canary}'`,
    // The cut must not go through the middle of what would be recognised.
    `${'x '.repeat(235)}postgres://app:${canary}${'y'.repeat(200)}@db/shop`,
    `password=${'x'.repeat(16_300)} postgres://app:${canary}${'y'.repeat(20_000)}@db/shop`,
    `postgres://app:${canary}${'y'.repeat(20_000)}@db/shop`,
  ];
}
