/* SampleRun: a small run of two minutes, told to any observer, whose figures are known.
 *
 * 240 requests, one every half second from 0 s: prompt 1000 tokens, output 11. TTFT is 200 ms plus
 * 10 ms times (id mod 10), but 5 s for ids 80..89; TPOT is 30 ms, but 60 ms where id mod 50 is 7.
 * Id 95 is rejected (503), id 96 aborted after 4 tokens (scale_down). A step every half second; 16
 * engines of one GPU until a resize to 20 from 40 s to 46.5 s, which stalls from 41 s to 45 s. A
 * reshuffle at 60 s. The measured window is [10 s, 120 s): ids 20 to 239. */
#ifndef EEP_TESTS_RUN_FOLDER_SAMPLE_RUN_H
#define EEP_TESTS_RUN_FOLDER_SAMPLE_RUN_H

#include "cli/run_facts.h"

G_BEGIN_DECLS

extern const char *const sample_run_pools[];

void sample_run_tell(EepObserver *observer);

/* New metrics that were told and are finished; with the fault of `with_incident`. */
EepMetrics *sample_run_metrics(gboolean with_incident);

/* Facts that fit; `expect` is nullable. Points to static memory. */
EepRunFacts sample_run_facts(const char *const *expect);

G_END_DECLS

#endif
