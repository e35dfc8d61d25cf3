#include "scenarios/event_options.h"

#include <stddef.h>
#include <string.h>

#define AT(field) offsetof(EepEventOptions, field)
#define LONGEST   1e18
#define MOST      1e6

/* A number that names somebody. */
#define INDEX(key, field, help)                                                                    \
    {                                                                                              \
        key, EEP_OPTION_INT, AT(field), NULL, 0, MOST, NULL, NULL, help                            \
    }

static const EepOption options[] = {
    {"at", EEP_OPTION_TIME, AT(at), "0s", 0, LONGEST, NULL, NULL,
     "when it happens; each event has this or during"},
    {"during.resize", EEP_OPTION_STRING, AT(during.resize), NULL, EEP_NO_BOUNDS, NULL, NULL,
     "id of an event with scale_elastic_ep: it happens while that is done"},
    {"during.phase", EEP_OPTION_STRING, AT(during.phase), NULL, EEP_NO_BOUNDS, NULL, NULL,
     "prepare, commit, settle or a phase that the resize has, when that first begins"},
    {"during.after", EEP_OPTION_TIME, AT(during.after), "0s", 0, LONGEST, NULL, NULL,
     "so long after the phase has begun"},
    {"id", EEP_OPTION_STRING, AT(id), NULL, EEP_NO_BOUNDS, NULL, NULL,
     "name for `expect`, during and the summary"},
    {"pool", EEP_OPTION_STRING, AT(pool), NULL, EEP_NO_BOUNDS, NULL, NULL,
     "which pool; not needed when there is one"},
    {"scale_elastic_ep.new_data_parallel_size", EEP_OPTION_INT,
     AT(scale_elastic_ep.new_data_parallel_size), "0", 0, 4096, NULL, NULL,
     "resize to so many engines (the body of POST /scale_elastic_ep)"},
    {"cancel.resize", EEP_OPTION_STRING, AT(cancel.resize), NULL, EEP_NO_BOUNDS, NULL, NULL,
     "id of an event with scale_elastic_ep: back to the old size, if it still runs"},
    INDEX("fail.rank", fail.rank, "the EP rank whose engine dies, whoever holds it then"),
    INDEX("fail.engine", fail.engine, "the engine (data-parallel rank) that dies"),
    INDEX("fail.node", fail.node, "the node all of whose engines are meant"),
    INDEX("hang.rank", hang.rank,
          "the EP rank whose engine answers nothing any more, whoever holds it then"),
    INDEX("hang.engine", hang.engine,
          "the engine (data-parallel rank) that answers nothing any more"),
    INDEX("hang.node", hang.node, "the node all of whose engines are meant"),
    INDEX("slow.rank", slow.who.rank, "the EP rank whose engine is slow, whoever holds it then"),
    INDEX("slow.engine", slow.who.engine, "the engine (data-parallel rank) that is slow"),
    INDEX("slow.node", slow.who.node, "the node all of whose engines are meant"),
    {"slow.factor", EEP_OPTION_DOUBLE, AT(slow.factor), NULL, 1, 1e6, NULL, NULL,
     "its computations take so many times as long"},
    {"slow.duration", EEP_OPTION_TIME, AT(slow.duration), "0s", 0, LONGEST, NULL, NULL,
     "how long; 0s: for good"},
    INDEX("link.node", link.node, "the node whose links are slow"),
    {"link.bandwidth_factor", EEP_OPTION_DOUBLE, AT(link.bandwidth_factor), NULL, 1e-6, 1, NULL,
     NULL, "share of their bandwidth that its links carry"},
    {"link.duration", EEP_OPTION_TIME, AT(link.duration), "0s", 0, LONGEST, NULL, NULL,
     "how long; 0s: for good"},
    {"phase_fail.phase", EEP_OPTION_STRING, AT(phase_fail.phase), NULL, EEP_NO_BOUNDS, NULL, NULL,
     "a phase of a resize, start or recovery that fails; of drain the time is up"},
    {"phase_fail.nth", EEP_OPTION_INT, AT(phase_fail.nth), "1", 0, MOST, NULL, NULL,
     "which one, counted from this event on; 0: every one"},
    {"phase_hang.phase", EEP_OPTION_STRING, AT(phase_hang.phase), NULL, EEP_NO_BOUNDS, NULL, NULL,
     "a phase of a resize, start or recovery that never ends"},
    {"phase_hang.nth", EEP_OPTION_INT, AT(phase_hang.nth), "1", 0, MOST, NULL, NULL,
     "which one, counted from this event on; 0: every one"},
};

const EepOptionTable eep_event_options = {"events[]", sizeof(EepEventOptions), options,
                                          G_N_ELEMENTS(options)};

const EepEventKindName eep_event_kinds[EEP_EVENT_KIND_COUNT] = {
    [EEP_EVENT_SCALE_ELASTIC_EP] = {"scale_elastic_ep", "{new_data_parallel_size: N}"},
    [EEP_EVENT_CANCEL] = {"cancel", "{resize: ID}"},
    [EEP_EVENT_FAIL] = {"fail", "{rank: N}"},
    [EEP_EVENT_HANG] = {"hang", "{rank: N}"},
    [EEP_EVENT_SLOW] = {"slow", "{rank: N, factor: 2, duration: TIME}"},
    [EEP_EVENT_LINK] = {"link", "{node: N, bandwidth_factor: 0.5, duration: TIME}"},
    [EEP_EVENT_PHASE_FAIL] = {"phase_fail", "{phase: NAME, nth: 1}"},
    [EEP_EVENT_PHASE_HANG] = {"phase_hang", "{phase: NAME, nth: 1}"},
};

const char *const eep_event_targets[3] = {
    [EEP_FAULT_OF_RANK] = "rank",
    [EEP_FAULT_OF_ENGINE] = "engine",
    [EEP_FAULT_OF_NODE] = "node",
};

static guint index_of(const EepEventTarget *who, EepFaultTarget target)
{
    const gint64 indexes[] = {
        [EEP_FAULT_OF_RANK] = who->rank,
        [EEP_FAULT_OF_ENGINE] = who->engine,
        [EEP_FAULT_OF_NODE] = who->node,
    };
    return (guint)indexes[target];
}

static EepTime length_of(EepTime duration)
{
    return duration == 0 ? EEP_TIME_NEVER : duration;
}

static guint phase_of(const char *name)
{
    for (guint i = 0; i < EEP_BREAKABLE_COUNT; i++)
        if (g_strcmp0(eep_breakable_name(i), name) == 0)
            return i;
    g_return_val_if_reached(0);
}

EepFault eep_event_fault(const EepEventOptions *event)
{
    EepFault fault = {.kind = (EepFaultKind)(event->kind - EEP_EVENT_FAIL),
                      .target = event->target,
                      .factor = 1.0,
                      .duration = EEP_TIME_NEVER};

    switch (event->kind) {
    case EEP_EVENT_FAIL:
        fault.index = index_of(&event->fail, event->target);
        break;
    case EEP_EVENT_HANG:
        fault.index = index_of(&event->hang, event->target);
        break;
    case EEP_EVENT_SLOW:
        fault.index = index_of(&event->slow.who, event->target);
        fault.factor = event->slow.factor;
        fault.duration = length_of(event->slow.duration);
        break;
    case EEP_EVENT_LINK:
        fault.target = EEP_FAULT_OF_NODE;
        fault.index = (guint)event->link.node;
        fault.factor = event->link.bandwidth_factor;
        fault.duration = length_of(event->link.duration);
        break;
    case EEP_EVENT_PHASE_FAIL:
        fault.phase = phase_of(event->phase_fail.phase);
        fault.nth = (guint)event->phase_fail.nth;
        break;
    case EEP_EVENT_PHASE_HANG:
        fault.phase = phase_of(event->phase_hang.phase);
        fault.nth = (guint)event->phase_hang.nth;
        break;
    default:
        g_return_val_if_reached(fault);
    }
    return fault;
}
G_STATIC_ASSERT((int)EEP_EVENT_PHASE_HANG - (int)EEP_EVENT_FAIL == (int)EEP_FAULT_KIND_PHASE_HANG);

gboolean eep_event_has_key(const EepEventOptions *event, const char *key)
{
    g_auto(GStrv) parts = g_strsplit(key, ".", 2);

    if (strcmp(parts[0], "at") == 0 || strcmp(parts[0], "during") == 0)
        return (parts[0][0] == 'd') == (event->during.resize != NULL);
    for (guint i = 0; i < EEP_EVENT_KIND_COUNT; i++) {
        if (strcmp(parts[0], eep_event_kinds[i].key) != 0)
            continue;
        if (i != event->kind)
            return FALSE;
        for (guint j = 0; j < G_N_ELEMENTS(eep_event_targets); j++)
            if (event->kind != EEP_EVENT_LINK && strcmp(parts[1], eep_event_targets[j]) == 0)
                return j == event->target;
        return TRUE;
    }
    return TRUE;
}
