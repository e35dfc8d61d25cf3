#include "core/step_times.h"

const char *const eep_step_kind_names[EEP_STEP_KIND_COUNT] = {"decode", "prefill", "dummy"};

void eep_step_times_init(EepStepTimes *times)
{
    *times = (EepStepTimes){0};
    for (guint kind = 0; kind < EEP_STEP_KIND_COUNT; kind++)
        eep_histogram_init(&times->lengths[kind]);
}

void eep_step_times_clear(EepStepTimes *times)
{
    for (guint kind = 0; kind < EEP_STEP_KIND_COUNT; kind++)
        eep_histogram_clear(&times->lengths[kind]);
}

static inline EepStepKind kind_of(const EepStepRecord *step)
{
    return step->is_dummy               ? EEP_STEP_DUMMY
           : step->n_prefill_tokens > 0 ? EEP_STEP_PREFILL
                                        : EEP_STEP_DECODE;
}

static inline guint class_of(const EepStepRecord *step)
{
    guint64 n_engines = MAX(step->n_engines, 1);
    guint64 tokens = (step->n_decodes + step->n_prefill_tokens + n_engines - 1) / n_engines;

    return tokens == 0 ? 0 : MIN(64 - (guint)__builtin_clzll(tokens), EEP_STEP_CLASSES - 1);
}

void eep_step_times_add(EepStepTimes *times, const EepStepRecord *step)
{
    EepStepKind kind = kind_of(step);
    EepStepClass *of_its_size = &times->classes[kind][class_of(step)];
    EepTime length = MAX(step->end - step->begin, 0);

    eep_histogram_add(&times->lengths[kind], length, 1);
    of_its_size->n++;
    of_its_size->sum += (EepWide)(guint64)length;
}
