/*
 * access: what a session may do, by the access list in force (engine/access/acl.h) for the listener that it came through.
 *
 * Rights are found once per session and snapshot, and kept in its principal; after a reload the next question finds them anew. So a reload counts at once for
 * everybody, connected or not, and costs nothing where nothing happens.
 *
 * Who asks, and what becomes of a no:
 *   a PUBLISH                    refused: 0x87 where it can be told, else acknowledged and dropped, as Mosquitto
 *   a will, when it is published dropped
 *   SUBSCRIBE                    refused if nothing that it could match may be read; else every message is asked about
 *   a delivery                   dropped: live, retained, from the queue or sent again; through a shared subscription another member gets it
 *
 * All of it is skipped where no listener has an access list: callers look at shard->access_limited first.
 */
#ifndef TIDEWIRE_ENGINE_ACCESS_ACCESS_H
#define TIDEWIRE_ENGINE_ACCESS_ACCESS_H

#include "engine/access/acl.h"

struct shard;
struct session;

bool access_may_publish(const struct shard *shard, struct session *session, struct bytes topic_name);
bool access_may_receive(const struct shard *shard, struct session *session, struct acl_topic *topic);
/* `filter` without `$share/`. */
bool access_may_subscribe(const struct shard *shard, struct session *session, struct bytes filter);

#endif
