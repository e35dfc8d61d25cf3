/* A generated trace: arrivals and lengths drawn from laws, as the same stream of rows as a recorded
 * one.
 *
 * Not a fit to anything: the parameters are the user's. Rows are made when asked for, so a trace of
 * any length costs no memory. Arrivals, input lengths, output lengths and prefixes draw from the
 * streams "arrivals", "input", "output" and "prefix" of the seed: changing the law of one never
 * shifts another. */
#ifndef EEP_TRACES_SYNTHETIC_H
#define EEP_TRACES_SYNTHETIC_H

#include "traces/arrivals.h"
#include "traces/length_law.h"
#include "traces/trace.h"

G_BEGIN_DECLS

#define EEP_SYNTHETIC_GROUPS_MAX 1000000

/* Prompts that begin alike: each request begins with the prefix of one of `groups` groups, before
 * the tokens drawn from the input law (as in vLLM's random dataset). A row then has one hash, its
 * group, which stands for all `tokens` tokens. */
typedef struct {
    guint32 groups;       /* 0 = no shared prefixes; at most EEP_SYNTHETIC_GROUPS_MAX */
    guint32 tokens;       /* >= 1: length of each prefix */
    double zipf_exponent; /* group k (from 1) has weight k^-exponent; 0 = all alike; [0, 10] */
} EepSyntheticPrefix;

typedef struct {
    EepArrivalsOptions arrivals;
    EepTime duration; /* arrivals before it only; 0 = no end */
    guint64 requests; /* at most so many; 0 = no end. One of the two must be given */
    EepLengthLaw input_tokens;
    EepLengthLaw output_tokens;
    EepSyntheticPrefix prefix;
    gint32 priority;       /* of priority_share of the requests, 0 of the others */
    double priority_share; /* [0, 1] */
} EepSyntheticOptions;

/* The options are copied. NULL with error EEP_TRACE_ERROR_OPTION ("KEY ...: what is allowed; try
 * ...") if one is out of its range. Rows never fail. Free with eep_trace_free(). */
EepTrace *eep_synthetic_open(const EepSyntheticOptions *options, guint64 seed, GError **error);

G_END_DECLS

#endif
