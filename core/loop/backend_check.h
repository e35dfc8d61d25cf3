/* EepBackendCheck: a decorator that holds a backend to the contract of backend.h.
 *
 * Sees what the core submits and what it gets back, and writes down every breach: ids that repeat,
 * completions that are unknown, doubled, missing, of the wrong kind, epoch or worker, workers after
 * the whole, steps out of order, more of anything than query_caps allows, wrong leaps, ends inside
 * an abort's scope after the abort. It changes nothing and stops nothing. Remembers every
 * operation, so its memory grows with the run: for tests and for hunting a bug. Put it outermost,
 * so that it sees what the core sees. Owns the inner backend. Loop thread only. */
#ifndef EEP_CORE_LOOP_BACKEND_CHECK_H
#define EEP_CORE_LOOP_BACKEND_CHECK_H

#include "core/loop/backend.h"

G_BEGIN_DECLS

#define EEP_BACKEND_CHECK_ERROR (eep_backend_check_error_quark())
GQuark eep_backend_check_error_quark(void);
typedef enum { EEP_BACKEND_CHECK_ERROR_BROKEN } EepBackendCheckError;

/* Takes over `inner`. Free with eep_backend_free(). */
EepBackend *eep_backend_check_new(EepBackend *inner);

/* Breaches so far. */
guint eep_backend_check_n_violations(const EepBackend *check);

/* To be called when the run is over: operations without an end are breaches too. FALSE: the error
 * lists the breaches, one a line (the first twenty, and how many there are). */
gboolean eep_backend_check_finish(EepBackend *check, GError **error);

G_END_DECLS

#endif
