/* EepStepTimes: how long steps took, by what they computed.
 *
 * A histogram for each kind of step, and sums over classes of steps with about as many tokens an
 * engine, so that two runs can be compared step against step though their batches differ. Constant
 * memory, however many steps. Not a log of steps. In place: init, then clear; loop thread only. */
#ifndef EEP_CORE_STEP_TIMES_H
#define EEP_CORE_STEP_TIMES_H

#include "core/histogram.h"
#include "core/observer.h"

G_BEGIN_DECLS

typedef enum {
    EEP_STEP_DECODE,  /* nothing but decodes */
    EEP_STEP_PREFILL, /* some prompt tokens at least */
    EEP_STEP_DUMMY,   /* no engine had work */
    EEP_STEP_KIND_COUNT,
} EepStepKind;

extern const char *const eep_step_kind_names[EEP_STEP_KIND_COUNT];

/* Class 0 has no tokens, class c the steps of 2^(c-1) to 2^c - 1 tokens an engine, rounded up. */
#define EEP_STEP_CLASSES 33

typedef struct {
    guint64 n;
    EepWide sum; /* ns */
} EepStepClass;

typedef struct {
    EepHistogram lengths[EEP_STEP_KIND_COUNT];
    EepStepClass classes[EEP_STEP_KIND_COUNT][EEP_STEP_CLASSES];
} EepStepTimes;

void eep_step_times_init(EepStepTimes *times);
void eep_step_times_clear(EepStepTimes *times);

void eep_step_times_add(EepStepTimes *times, const EepStepRecord *step);

/* The fewest tokens an engine of the class. */
static inline guint64 eep_step_class_tokens(guint step_class)
{
    return step_class == 0 ? 0 : (guint64)1 << (step_class - 1);
}

G_END_DECLS

#endif
