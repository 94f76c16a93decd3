/** What one partition of a produce request holds. */
export interface PartitionData {
  readonly topic: string;
  readonly partition: number;
  /** An encoded and stamped record batch. */
  readonly bytes: Buffer;
}

/** What a broker says of one partition. */
export interface PartitionReply {
  readonly partition: number;
  readonly errorCode: number;
  readonly baseOffset: string;
  readonly logAppendTime: string;
  readonly logStartOffset?: string;
}

/** A produce reply of any version, decoded. */
export interface ProduceReply {
  readonly topics: readonly {
    readonly topicName: string;
    readonly partitions: readonly PartitionReply[];
  }[];
}

/** The body of a produce request, version 3 to 7: one batch of each partition. */
export function encodeProduce(
  acks: number,
  timeoutMs: number,
  partitions: readonly PartitionData[],
): Buffer {
  const byTopic = new Map<string, PartitionData[]>();
  for (const one of partitions) {
    const others = byTopic.get(one.topic);
    if (others === undefined) byTopic.set(one.topic, [one]);
    else others.push(one);
  }
  let size = 2 + 2 + 4 + 4;
  for (const [topic, data] of byTopic) {
    size += 2 + Buffer.byteLength(topic) + 4;
    for (const { bytes } of data) size += 4 + 4 + bytes.length;
  }
  const body = Buffer.allocUnsafe(size);
  // No transactional id.
  let at = body.writeInt16BE(-1, 0);
  at = body.writeInt16BE(acks, at);
  at = body.writeInt32BE(timeoutMs, at);
  at = body.writeInt32BE(byTopic.size, at);
  for (const [topic, data] of byTopic) {
    at = body.writeInt16BE(Buffer.byteLength(topic), at);
    at += body.write(topic, at);
    at = body.writeInt32BE(data.length, at);
    for (const { partition, bytes } of data) {
      at = body.writeInt32BE(partition, at);
      at = body.writeInt32BE(bytes.length, at);
      at += bytes.copy(body, at);
    }
  }
  return body;
}
