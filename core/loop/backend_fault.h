/* EepBackendFault: a decorator that makes chosen operations go wrong.
 *
 * Rules name operations by kind and count and say what happens to them. The decorated backend keeps
 * the contract of backend.h but for EEP_FAULT_NEVER, which is there to break it: what is delayed
 * stays in order, and an abort waits for what it must not overtake. Not a source of randomness: the
 * rules are all there is. Owns the inner backend. Loop thread only. */
#ifndef EEP_CORE_LOOP_BACKEND_FAULT_H
#define EEP_CORE_LOOP_BACKEND_FAULT_H

#include "core/loop/backend.h"

G_BEGIN_DECLS

typedef enum {
    EEP_FAULT_REFUSE, /* the inner backend never sees the operation; it ends refused at once */
    EEP_FAULT_FAIL,   /* it happens, but its whole completion says `done`, no steps and suspects */
    EEP_FAULT_DELAY,  /* its completions come `delay` later */
    EEP_FAULT_NEVER,  /* its completions never come */
} EepFaultAction;

typedef struct {
    EepOpKind kind;
    guint64 nth; /* counts the kind's operations from 1; 0: every one */
    EepFaultAction action;
    EepDone done;        /* FAIL */
    EepWorkerId suspect; /* FAIL; 0: none */
    EepTime delay;       /* DELAY; >= 0 */
} EepFaultRule;

/* Takes over `inner`, copies the rules; the first that matches counts. Free with
 * eep_backend_free(). */
EepBackend *eep_backend_fault_new(EepBackend *inner, const EepFaultRule *rules, guint n_rules);

/* Operations that a rule has matched so far. */
guint64 eep_backend_fault_n_hits(const EepBackend *fault);

G_END_DECLS

#endif
