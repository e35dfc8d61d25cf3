#include "sim/broken_parts.h"

typedef struct {
    EepWorkerId worker;
    gboolean is_stopped;
    double slowness;
} Worker;

typedef struct {
    EepPoolId pool;
    guint node;
    double factor;
} Link;

typedef struct {
    EepPoolId pool;
    guint kind, nth, n_begun;
    gboolean hangs;
} Break;

struct EepBrokenParts {
    GArray *workers, *links, *breaks;
};

EepBrokenParts *eep_broken_parts_new(void)
{
    EepBrokenParts *self = g_new(EepBrokenParts, 1);

    self->workers = g_array_new(FALSE, FALSE, sizeof(Worker));
    self->links = g_array_new(FALSE, FALSE, sizeof(Link));
    self->breaks = g_array_new(FALSE, FALSE, sizeof(Break));
    return self;
}

void eep_broken_parts_free(EepBrokenParts *self)
{
    if (self == NULL)
        return;
    g_array_unref(self->workers);
    g_array_unref(self->links);
    g_array_unref(self->breaks);
    g_free(self);
}

gboolean eep_broken_parts_is_empty(const EepBrokenParts *self)
{
    return self->workers->len == 0 && self->links->len == 0 && self->breaks->len == 0;
}

static Worker *find_worker(const EepBrokenParts *self, EepWorkerId worker)
{
    for (guint i = 0; i < self->workers->len; i++)
        if (g_array_index(self->workers, Worker, i).worker == worker)
            return &g_array_index(self->workers, Worker, i);
    return NULL;
}

static void set_worker(EepBrokenParts *self, const Worker *state)
{
    Worker *entry = find_worker(self, state->worker);

    if (entry == NULL) {
        g_array_append_val(self->workers, *state);
        entry = &g_array_index(self->workers, Worker, self->workers->len - 1);
    }
    *entry = *state;
    if (!entry->is_stopped && entry->slowness == 1.0)
        g_array_remove_index(self->workers,
                             (guint)(entry - &g_array_index(self->workers, Worker, 0)));
}

void eep_broken_parts_stop(EepBrokenParts *self, EepWorkerId worker, gboolean is_stopped)
{
    set_worker(self, &(Worker){worker, is_stopped, eep_broken_parts_slowness(self, worker)});
}

void eep_broken_parts_slow(EepBrokenParts *self, EepWorkerId worker, double factor)
{
    set_worker(self,
               &(Worker){worker, eep_broken_parts_is_stopped(self, worker), MAX(factor, 1.0)});
}

void eep_broken_parts_set_link(EepBrokenParts *self, EepPoolId pool, guint node, double factor)
{
    const Link link = {pool, node, CLAMP(factor, 1e-6, 1.0)};

    for (guint i = 0; i < self->links->len; i++) {
        const Link *entry = &g_array_index(self->links, Link, i);
        if (entry->pool == pool && entry->node == node) {
            g_array_remove_index(self->links, i);
            break;
        }
    }
    if (link.factor < 1.0)
        g_array_append_val(self->links, link);
}

void eep_broken_parts_break_phase(EepBrokenParts *self, EepPoolId pool, guint phase_kind, guint nth,
                                  gboolean hangs)
{
    const Break entry = {pool, phase_kind, nth, 0, hangs};

    g_array_append_val(self->breaks, entry);
}

gboolean eep_broken_parts_is_stopped(const EepBrokenParts *self, EepWorkerId worker)
{
    const Worker *entry = find_worker(self, worker);
    return entry != NULL && entry->is_stopped;
}

double eep_broken_parts_slowness(const EepBrokenParts *self, EepWorkerId worker)
{
    const Worker *entry = find_worker(self, worker);
    return entry != NULL ? entry->slowness : 1.0;
}

double eep_broken_parts_link(const EepBrokenParts *self, EepPoolId pool, guint node)
{
    for (guint i = 0; i < self->links->len; i++) {
        const Link *entry = &g_array_index(self->links, Link, i);
        if (entry->pool == pool && entry->node == node)
            return entry->factor;
    }
    return 1.0;
}

EepPhaseFate eep_broken_parts_begin_phase(EepBrokenParts *self, EepPoolId pool, guint phase_kind)
{
    EepPhaseFate fate = EEP_PHASE_GOES_WELL;

    for (guint i = 0; i < self->breaks->len; i++) {
        Break *entry = &g_array_index(self->breaks, Break, i);
        gboolean hits;

        if (entry->pool != pool || entry->kind != phase_kind)
            continue;
        entry->n_begun++;
        hits = entry->nth == 0 || entry->n_begun == entry->nth;
        if (hits && fate != EEP_PHASE_HANGS)
            fate = entry->hangs ? EEP_PHASE_HANGS : EEP_PHASE_FAILS;
        if (hits && entry->nth != 0)
            g_array_remove_index(self->breaks, i--);
    }
    return fate;
}
