#include "core/eplb/dispatch_lp.h"

#include <string.h>

__extension__ typedef unsigned __int128 Wide;

#define NONE G_MAXUINT32

struct EepDispatchLp {
    guint n_experts, n_ranks, slots_per_rank, n_slots;
    guint32 *slots;        /* [n_slots] slots in use, by expert, ascending */
    guint32 *first;        /* [n_experts + 1] into slots */
    guint32 *expert;       /* [n_slots] of a slot, NONE when empty */
    guint32 *replicated;   /* experts with several replicas */
    guint32 *movable;      /* slots of these, by rank */
    guint32 *movable_from; /* [n_ranks + 1] into movable */
    guint n_replicated;
    guint64 *tokens; /* [n_experts] of the last solve */
    guint64 *flow;   /* [n_slots] tokens times denominator */
    guint64 *load;   /* [n_ranks] the same, summed */
    guint64 numerator, denominator;
    guint32
        *from; /* [n_ranks] by which slot the search reached the rank; NONE: not, n_slots: root */
    guint32 *into;  /* [n_ranks] and into which of its own */
    guint32 *queue; /* [n_ranks] */
};

EepDispatchLp *eep_dispatch_lp_new(guint n_experts, guint n_ranks, guint slots_per_rank)
{
    g_return_val_if_fail(n_experts > 0 && slots_per_rank > 0, NULL);
    g_return_val_if_fail(n_ranks > 0 && n_ranks <= EEP_DISPATCH_LP_MAX_RANKS, NULL);
    EepDispatchLp *self = g_new0(EepDispatchLp, 1);
    self->n_experts = n_experts;
    self->n_ranks = n_ranks;
    self->slots_per_rank = slots_per_rank;
    self->n_slots = n_ranks * slots_per_rank;
    self->slots = g_new(guint32, self->n_slots);
    self->first = g_new0(guint32, n_experts + 1);
    self->expert = g_new(guint32, self->n_slots);
    memset(self->expert, 0xFF, self->n_slots * sizeof *self->expert);
    self->replicated = g_new(guint32, n_experts);
    self->movable = g_new(guint32, self->n_slots);
    self->movable_from = g_new0(guint32, n_ranks + 1);
    self->tokens = g_new0(guint64, n_experts);
    self->flow = g_new0(guint64, self->n_slots);
    self->load = g_new(guint64, n_ranks);
    self->denominator = 1;
    self->from = g_new(guint32, n_ranks);
    self->into = g_new(guint32, n_ranks);
    self->queue = g_new(guint32, n_ranks);
    return self;
}

void eep_dispatch_lp_free(EepDispatchLp *self)
{
    if (!self)
        return;
    g_free(self->slots);
    g_free(self->first);
    g_free(self->expert);
    g_free(self->replicated);
    g_free(self->movable);
    g_free(self->movable_from);
    g_free(self->tokens);
    g_free(self->flow);
    g_free(self->load);
    g_free(self->from);
    g_free(self->into);
    g_free(self->queue);
    g_free(self);
}

static inline guint count_of(const EepDispatchLp *self, guint expert)
{
    return self->first[expert + 1] - self->first[expert];
}

static inline guint rank_of(const EepDispatchLp *self, guint slot)
{
    return slot / self->slots_per_rank;
}

void eep_dispatch_lp_set_layer(EepDispatchLp *self, const gint32 *phy2log)
{
    memset(self->first, 0, (self->n_experts + 1) * sizeof *self->first);
    for (guint slot = 0; slot < self->n_slots; slot++) {
        g_return_if_fail(phy2log[slot] >= -1 && phy2log[slot] < (gint32)self->n_experts);
        self->expert[slot] = phy2log[slot] < 0 ? NONE : (guint32)phy2log[slot];
        if (phy2log[slot] >= 0)
            self->first[phy2log[slot] + 1]++;
    }
    self->n_replicated = 0;
    for (guint e = 0; e < self->n_experts; e++) {
        if (self->first[e + 1] > 1)
            self->replicated[self->n_replicated++] = e;
        self->first[e + 1] += self->first[e];
    }
    for (guint slot = 0; slot < self->n_slots; slot++)
        if (self->expert[slot] != NONE)
            self->slots[self->first[self->expert[slot]]++] = slot;
    for (guint e = self->n_experts; e > 0; e--) /* each ran ahead to where the next one starts */
        self->first[e] = self->first[e - 1];
    self->first[0] = 0;
    guint n_movable = 0;
    for (guint slot = 0; slot < self->n_slots; slot++) {
        if (slot % self->slots_per_rank == 0)
            self->movable_from[rank_of(self, slot)] = n_movable;
        if (self->expert[slot] != NONE && count_of(self, self->expert[slot]) > 1)
            self->movable[n_movable++] = slot;
    }
    self->movable_from[self->n_ranks] = n_movable;
}

/* A start near the optimum: expert after expert fills its lowest ranks. */
static void pour(EepDispatchLp *self, guint expert)
{
    const guint32 *slots = &self->slots[self->first[expert]];
    const guint n = count_of(self, expert);
    guint64 left = self->tokens[expert];
    while (left > 0) {
        /* The lowest rank up to the level of the next one, or a share of what is left. */
        guint low = 0;
        guint64 next = G_MAXUINT64;
        for (guint j = 1; j < n; j++)
            if (self->load[rank_of(self, slots[j])] < self->load[rank_of(self, slots[low])])
                low = j;
        guint64 level = self->load[rank_of(self, slots[low])];
        for (guint j = 0; j < n; j++)
            if (self->load[rank_of(self, slots[j])] > level)
                next = MIN(next, self->load[rank_of(self, slots[j])]);
        guint64 part = MIN(left, MAX(1, MIN(next - level, left / n)));
        self->flow[slots[low]] += part;
        self->load[rank_of(self, slots[low])] += part;
        left -= part;
    }
}

/* The first split, in whole tokens, and the first lower bound: the mean, or a rank's fixed load. */
static void start(EepDispatchLp *self, const guint32 *tokens)
{
    guint64 total = 0, fixed = 0;
    memset(self->flow, 0, self->n_slots * sizeof *self->flow);
    memset(self->load, 0, self->n_ranks * sizeof *self->load);
    for (guint e = 0; e < self->n_experts; e++) {
        const guint32 slot = self->first[e];
        self->tokens[e] = tokens[e];
        if (count_of(self, e) == 0)
            continue;
        total += tokens[e];
        if (count_of(self, e) == 1) {
            self->flow[self->slots[slot]] = tokens[e];
            self->load[rank_of(self, self->slots[slot])] += tokens[e];
        }
    }
    for (guint r = 0; r < self->n_ranks; r++)
        fixed = MAX(fixed, self->load[r]);
    for (guint i = 0; i < self->n_replicated; i++)
        pour(self, self->replicated[i]);
    self->numerator = fixed;
    self->denominator = 1;
    if (fixed * self->n_ranks < total) {
        self->numerator = total;
        self->denominator = self->n_ranks;
    }
}

/* Brings the split from units of 1/old to units of 1/denominator; what rounding leaves over goes to
 * an expert's first slots. */
static void rescale(EepDispatchLp *self, guint64 old)
{
    const guint64 now = self->denominator;
    if (old == now)
        return;
    memset(self->load, 0, self->n_ranks * sizeof *self->load);
    for (guint e = 0; e < self->n_experts; e++) {
        guint64 left = self->tokens[e] * now;
        for (guint i = self->first[e]; i < self->first[e + 1]; i++) {
            guint64 *flow = &self->flow[self->slots[i]];
            *flow = *flow / old * now + *flow % old * now / old;
            left -= *flow;
        }
        if (count_of(self, e) > 0)
            self->flow[self->slots[self->first[e]]] += left;
        for (guint i = self->first[e]; i < self->first[e + 1]; i++)
            self->load[rank_of(self, self->slots[i])] += self->flow[self->slots[i]];
    }
}

/* Shortest way from any rank above the level to one below it, along experts that can shift from one
 * replica to another. Returns the rank, or NONE; then the ranks reached are a set that needs more.
 */
static guint32 search(EepDispatchLp *self, guint64 level)
{
    guint head = 0, tail = 0;
    for (guint r = 0; r < self->n_ranks; r++) {
        self->from[r] = self->load[r] > level ? self->n_slots : NONE;
        if (self->load[r] > level)
            self->queue[tail++] = r;
    }
    while (head < tail) {
        guint32 rank = self->queue[head++];
        for (guint i = self->movable_from[rank]; i < self->movable_from[rank + 1]; i++) {
            const guint32 slot = self->movable[i], e = self->expert[slot];
            if (self->flow[slot] == 0)
                continue;
            for (guint j = self->first[e]; j < self->first[e + 1]; j++) {
                guint32 other = self->slots[j], to = rank_of(self, other);
                if (self->from[to] != NONE)
                    continue;
                self->from[to] = slot;
                self->into[to] = other;
                if (self->load[to] < level)
                    return to;
                self->queue[tail++] = to;
            }
        }
    }
    return NONE;
}

static void shift(EepDispatchLp *self, guint64 level, guint32 end)
{
    guint64 amount = level - self->load[end];
    guint32 rank = end;
    for (; self->from[rank] != self->n_slots; rank = rank_of(self, self->from[rank]))
        amount = MIN(amount, self->flow[self->from[rank]]);
    amount = MIN(amount, self->load[rank] - level);
    self->load[rank] -= amount;
    self->load[end] += amount;
    for (rank = end; self->from[rank] != self->n_slots; rank = rank_of(self, self->from[rank])) {
        self->flow[self->from[rank]] -= amount;
        self->flow[self->into[rank]] += amount;
    }
}

void eep_dispatch_lp_solve(EepDispatchLp *self, const guint32 *tokens)
{
    start(self, tokens);
    guint64 unit = 1; /* of the split is 1/unit tokens */
    for (;;) {
        rescale(self, unit);
        unit = self->denominator;
        guint32 end;
        while ((end = search(self, self->numerator)) != NONE)
            shift(self, self->numerator, end);
        /* Nothing above the level: done. Else the ranks reached hold every replica of what they
         * have, and share more than the level allows: the level is their mean at least. */
        guint64 sum = 0, n = 0;
        for (guint r = 0; r < self->n_ranks; r++)
            if (self->from[r] != NONE) {
                sum += self->load[r];
                n++;
            }
        if (n == 0)
            return;
        self->numerator = sum / unit; /* whole experts, so it divides */
        self->denominator = n;
    }
}

void eep_dispatch_lp_optimum(const EepDispatchLp *self, guint64 *ret_numerator,
                             guint64 *ret_denominator)
{
    *ret_numerator = self->numerator;
    *ret_denominator = self->denominator;
}

const guint64 *eep_dispatch_lp_flow(const EepDispatchLp *self)
{
    return self->flow;
}

double eep_dispatch_lp_share(const EepDispatchLp *self, guint slot)
{
    guint32 e = self->expert[slot];
    if (e == NONE)
        return 0.0;
    if (self->tokens[e] == 0)
        return 1.0 / count_of(self, e);
    return (double)self->flow[slot] / ((double)self->tokens[e] * (double)self->denominator);
}

void eep_dispatch_lp_round(const EepDispatchLp *self, guint expert, guint32 n, guint32 offset,
                           guint32 *ret_tokens)
{
    const guint32 *slots = &self->slots[self->first[expert]];
    const guint count = count_of(self, expert);
    g_return_if_fail(count > 0);
    guint64 whole = self->tokens[expert] * self->denominator, passed = 0;
    guint32 before = 0;
    for (guint j = 0; j < count; j++) {
        /* Points i with (i + offset) < n * passed / whole. */
        passed += whole > 0 ? self->flow[slots[j]] : 1;
        Wide end = ((Wide)n * passed << 32) / (whole > 0 ? whole : count);
        guint32 below = n;
        if (j + 1 < count)
            below = end <= offset ? 0 : (guint32)MIN((Wide)n, (end - offset + 0xFFFFFFFFu) >> 32);
        ret_tokens[j] = below - before;
        before = below;
    }
}
