import axios, { type AxiosInstance, type AxiosResponse } from 'axios';
import { expectTypeOf, it } from 'vitest';
import retrying, { create, type Retrying, withRetry } from '../src/index.js';

it('has the types of axios, and ours', () => {
  const client = withRetry(axios.create());
  expectTypeOf(client).toExtend<AxiosInstance>();
  const typed = () => client.get<{ id: number }>('/x', { retry: { idempotent: true } });
  expectTypeOf(typed).returns.resolves.toEqualTypeOf<AxiosResponse<{ id: number }>>();
  const untyped = () => client.post('/x', {}, { retry: false });
  expectTypeOf(untyped).returns.resolves.toHaveProperty('data').toBeAny();
  expectTypeOf(client.create()).toExtend<Retrying>();
  expectTypeOf(create()).toExtend<Retrying & AxiosInstance>();
  expectTypeOf(retrying.isAxiosError).toEqualTypeOf(axios.isAxiosError);
});
