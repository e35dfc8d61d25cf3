/* EepGapStack: the largest value pushed since a given index.
 *
 * Serves each request's longest inter-token gap: an engine pushes (progress counter, gap) as its
 * decodes advance, and a request that ends asks for the largest since its first token. A monotone
 * stack: an entry that a later one equals or exceeds can never be an answer and is dropped. Not a
 * general range maximum: every range ends at the newest push.
 *
 * In place: init, then clear. Not thread-safe: one owner. */
#ifndef EEP_CORE_STAT_STACK_H
#define EEP_CORE_STAT_STACK_H

#include "core/time.h"

G_BEGIN_DECLS

typedef struct {
    guint64 index;
    EepTime value;
} EepGapEntry;

typedef struct {
    EepGapEntry
        *entries; /* owned, nullable; live ones in [first, end), values strictly descending */
    gsize first, end, capacity;
} EepGapStack;

void eep_gap_stack_init(EepGapStack *stack);
void eep_gap_stack_clear(EepGapStack *stack);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(EepGapStack, eep_gap_stack_clear)

/* value >= 0 (ns); index not below any earlier push's. Amortised O(1). */
void eep_gap_stack_push(EepGapStack *stack, guint64 index, EepTime value);

/* The largest value pushed at an index >= `index`, 0 if there was none. Meaningless below an index
 * given to drop_before. O(log entries). */
EepTime eep_gap_stack_max_since(const EepGapStack *stack, guint64 index);

/* Forgets the entries below `index`, which nobody will ask about again. Only ever shrinking values
 * make the stack grow, so calling it now and then is enough. */
void eep_gap_stack_drop_before(EepGapStack *stack, guint64 index);

/* Entries held. */
gsize eep_gap_stack_length(const EepGapStack *stack);

G_END_DECLS

#endif
