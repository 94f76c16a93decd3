import { LoggedModels } from './logged-models.js';

/** A client of an MLflow tracking server that outlasts its outages. Methods are those of Python's `MlflowClient` in camelCase. */
export class MlflowClient extends LoggedModels {}
