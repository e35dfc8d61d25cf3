/* EepEventOptions: something that a scenario lets happen at a time of its own. Plain values, filled
 * by the loader; what it does is the deployment's business. */
#ifndef EEP_SCENARIOS_EVENT_OPTIONS_H
#define EEP_SCENARIOS_EVENT_OPTIONS_H

#include "core/fault.h"
#include "core/options.h"

G_BEGIN_DECLS

/* In the order of eep_event_kinds; the faults in that of EepFaultKind. */
typedef enum {
    EEP_EVENT_SCALE_ELASTIC_EP,
    EEP_EVENT_CANCEL,
    EEP_EVENT_FAIL,
    EEP_EVENT_HANG,
    EEP_EVENT_SLOW,
    EEP_EVENT_LINK,
    EEP_EVENT_PHASE_FAIL,
    EEP_EVENT_PHASE_HANG,
    EEP_EVENT_KIND_COUNT,
} EepScenarioEventKind;

/* Who is meant: one of the three; the loader says which. */
typedef struct {
    gint64 rank, engine, node;
} EepEventTarget;

typedef struct {
    EepTime at; /* when there is no during.resize */
    struct {
        char *resize, *phase; /* nullable: both or none */
        EepTime after;
    } during;
    char *id;                  /* nullable */
    char *pool;                /* never NULL after loading */
    EepScenarioEventKind kind; /* the loader's: which of the kinds below is given */
    EepFaultTarget target;     /* the loader's: whom fail, hang or slow names */
    EepTime earliest;          /* the loader's: at, or what it waits for can be no earlier */
    struct {
        gint64 new_data_parallel_size;
    } scale_elastic_ep;
    struct {
        char *resize; /* nullable */
    } cancel;
    EepEventTarget fail, hang;
    struct {
        EepEventTarget who;
        double factor;
        EepTime duration; /* 0: for good, as in the one below */
    } slow;
    struct {
        gint64 node;
        double bandwidth_factor;
        EepTime duration;
    } link;
    struct {
        char *phase; /* nullable */
        gint64 nth;
    } phase_fail, phase_hang;
} EepEventOptions;

extern const EepOptionTable eep_event_options; /* prefix "events[]" */

/* A kind's key, and how it is written. */
typedef struct {
    const char *key, *form;
} EepEventKindName;
extern const EepEventKindName eep_event_kinds[EEP_EVENT_KIND_COUNT];

/* The keys of an EepEventTarget, by EepFaultTarget. */
extern const char *const eep_event_targets[3];

/* The fault that the event makes, for kinds from FAIL on. */
EepFault eep_event_fault(const EepEventOptions *event);

/* Whether a key of the table says something of this event: its kind's, its target's, its time's. */
gboolean eep_event_has_key(const EepEventOptions *event, const char *key);

G_END_DECLS

#endif
