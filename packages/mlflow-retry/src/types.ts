// What the server answers, as it names it. Empty lists and texts may be left out by it.

/** A tag or a param. */
export interface KeyValue {
  readonly key: string;
  readonly value: string;
}

/** A name for one version of a model. */
export interface Alias {
  readonly alias: string;
  readonly version: string;
}

/** A registered model, as the server describes it. */
export interface RegisteredModel {
  readonly name: string;
  /** Milliseconds since 1970, as all times here. */
  readonly creation_timestamp: number;
  readonly last_updated_timestamp: number;
  readonly description?: string;
  /** The newest of each stage; without their aliases. */
  readonly latest_versions?: readonly ModelVersion[];
  readonly tags?: readonly KeyValue[];
  readonly aliases?: readonly Alias[];
}

/** A version of a registered model. */
export interface ModelVersion {
  readonly name: string;
  readonly version: string;
  readonly creation_timestamp: number;
  readonly last_updated_timestamp: number;
  /** `None`, `Staging`, `Production` or `Archived`. */
  readonly current_stage: string;
  readonly description?: string;
  /** As it was given. Where the files are is what `getModelVersionDownloadUri` says. */
  readonly source: string;
  readonly run_id?: string;
  readonly status: 'READY' | 'PENDING_REGISTRATION' | 'FAILED_REGISTRATION';
  readonly status_message?: string;
  readonly tags?: readonly KeyValue[];
  readonly aliases?: readonly string[];
}

/** An experiment: what runs belong to. */
export interface Experiment {
  readonly experiment_id: string;
  readonly name: string;
  readonly artifact_location: string;
  readonly lifecycle_stage: 'active' | 'deleted';
  readonly creation_time?: number;
  readonly last_update_time?: number;
  readonly tags?: readonly KeyValue[];
}

/** How a run stands. */
export type RunStatus = 'RUNNING' | 'SCHEDULED' | 'FINISHED' | 'FAILED' | 'KILLED';

/** What a run is, without its data. */
export interface RunInfo {
  readonly run_id: string;
  readonly run_name?: string;
  readonly experiment_id: string;
  readonly status: RunStatus;
  readonly start_time?: number;
  readonly end_time?: number;
  readonly artifact_uri: string;
  readonly lifecycle_stage: 'active' | 'deleted';
  readonly user_id?: string;
}

/** One point of a metric. */
export interface Metric {
  readonly key: string;
  /** NaN is a number here, although JSON has none. For an infinity the server keeps the largest number there is. */
  readonly value: number;
  readonly timestamp: number;
  readonly step: number;
}

/** A run: what it is, and what was logged in it. */
export interface Run {
  readonly info: RunInfo;
  readonly data: {
    readonly metrics?: readonly Metric[];
    readonly params?: readonly KeyValue[];
    readonly tags?: readonly KeyValue[];
  };
}

/** A file or folder among the artifacts. */
export interface FileInfo {
  /** From the root of the run or model on. */
  readonly path: string;
  readonly is_dir: boolean;
  /** Bytes; 0 where the server says nothing: of empty files, and of folders. */
  readonly file_size: number;
}

/** A logged model (MLflow 3). */
export interface LoggedModel {
  readonly info: {
    readonly model_id: string;
    readonly experiment_id: string;
    readonly name: string;
    readonly creation_timestamp_ms: number;
    readonly last_updated_timestamp_ms: number;
    readonly artifact_uri: string;
    readonly status: LoggedModelStatus;
    readonly model_type?: string;
    readonly source_run_id?: string;
    readonly tags?: readonly KeyValue[];
  };
  readonly data?: {
    readonly params?: readonly KeyValue[];
    readonly metrics?: readonly Metric[];
  };
}

/** Where a logged model stands. */
export type LoggedModelStatus =
  | 'LOGGED_MODEL_PENDING'
  | 'LOGGED_MODEL_READY'
  | 'LOGGED_MODEL_UPLOAD_FAILED';

/** What a server says of itself; empty of those that are older than 3. */
export interface ServerInfo {
  /** `SqlStore` or `FileStore`. */
  readonly store_type?: string;
  readonly workspaces_enabled?: boolean;
  readonly multipart_uploads_enabled?: boolean;
  readonly multipart_downloads_enabled?: boolean;
}
