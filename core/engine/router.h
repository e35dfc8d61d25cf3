/* EepRouter: which engine of a pool gets a request.
 *
 * vLLM's front end keeps a snapshot of every engine's queue lengths that is up to `staleness` old,
 * adds what it has sent since, and takes the engine with the best score. Policies
 * (docs/scheduler.md, "Routing"): both of vLLM's scores, round robin, power of two choices, prefix
 * affinity. Not admission: the caller has checked that the request can be taken. Owned by its pool;
 * loop thread only. */
#ifndef EEP_CORE_ENGINE_ROUTER_H
#define EEP_CORE_ENGINE_ROUTER_H

#include "core/engine/engine.h"

G_BEGIN_DECLS

typedef struct EepRouter EepRouter;

#define EEP_ROUTER_NONE G_MAXUINT

EepRouter *eep_router_new(const EepPoolOptions *options, guint64 seed);
void eep_router_free(EepRouter *router);

/* The group has n engines now: number i was source[i], or is new (-1) and starts with an empty
 * snapshot. source NULL: all are new. */
void eep_router_map_engines(EepRouter *router, const gint32 *source, guint n_engines);

/* Takes a new snapshot of all engines. Never needed with staleness 0, which reads the true counts.
 */
void eep_router_publish(EepRouter *router, EepEngine *const *engines, guint n_engines);

/* The engine's index, EEP_ROUTER_NONE if none of the n_engines is routable with fewer than
 * `queue_limit` (0: any number) waiting. The request counts as waiting there from now on. */
guint eep_router_pick(EepRouter *router, EepEngine *const *engines, guint n_engines,
                      const EepRequest *request, guint64 queue_limit);

G_END_DECLS

#endif
