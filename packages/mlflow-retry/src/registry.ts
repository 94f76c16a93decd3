import type { CallBounds } from './options.js';
import { Tracking } from './tracking.js';

export abstract class Registry extends Tracking {
  getRegisteredModel(name: string, options?: CallBounds): Promise<unknown> {
    return this.transport.json({
      operation: 'getRegisteredModel',
      path: 'registered-models/get',
      query: { name },
      pick: (answer) => answer.registered_model,
      bounds: options,
    });
  }
}
