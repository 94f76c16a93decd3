import type { Admin } from 'kafkajs';

/** How many messages a group has yet to read, over all topics that it has committed offsets of. */
export async function lagOfGroup(admin: Admin, groupId: string): Promise<number> {
  await admin.connect();
  try {
    const committed = await admin.fetchOffsets({ groupId });
    let lag = 0;
    for (const { topic, partitions } of committed) {
      const ends = await admin.fetchTopicOffsets(topic);
      for (const { partition, low, high } of ends) {
        const offset = Number(partitions.find((one) => one.partition === partition)?.offset ?? -1);
        // What was deleted meanwhile will not be read any more.
        lag += Number(high) - Math.max(offset, Number(low));
      }
    }
    return lag;
  } finally {
    await admin.disconnect();
  }
}
