#include "sim/explore_hash.h"

#include <stdlib.h>
#include <string.h>

/* A field that is new in these is either part of a state's name or only an account: decide which,
 * here, before the size is changed. */
G_STATIC_ASSERT(sizeof(EepCoordinator) ==
                40 + EEP_CONTROL_MAX_QUEUE * 8 + EEP_RESIZE_TIMER_COUNT * 8 + 8);
G_STATIC_ASSERT(sizeof(EepParticipant) == 32 && sizeof(EepMember) == 8 && sizeof(EepRow) == 32);
G_STATIC_ASSERT(sizeof(EepControl) ==
                56 + sizeof(EepCoordinator) + EEP_CONTROL_MAX_ROWS * sizeof(EepRow));

#define SIGNATURE_WORDS 10
#define MAX_WORDS       (64 + 2 * EEP_CONTROL_MAX_ROWS + EEP_EXPLORE_MAX_LINES * SIGNATURE_WORDS)

typedef struct {
    guint64 words[SIGNATURE_WORDS];
} Signature;

typedef struct {
    guint64 words[MAX_WORDS];
    guint n;
} Words;

static void put(Words *words, guint64 value)
{
    g_assert(words->n < MAX_WORDS);
    words->words[words->n++] = value;
}

/* Full 64 x 64 bit product, its halves folded. */
static guint64 fold(guint64 a, guint64 b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (guint64)product ^ (guint64)(product >> 64);
}

static EepExploreHash hash_words(const Words *words)
{
    guint64 a = G_GUINT64_CONSTANT(0x243f6a8885a308d3), b = G_GUINT64_CONSTANT(0x13198a2e03707344);

    for (guint i = 0; i < words->n; i++) {
        a = fold(a ^ words->words[i], G_GUINT64_CONSTANT(0xa4093822299f31d1) + 2 * i) + b;
        b = fold(b + words->words[i], G_GUINT64_CONSTANT(0x9e3779b97f4a7c15)) ^ (a << 32 | a >> 32);
    }
    a = fold(a ^ words->n, G_GUINT64_CONSTANT(0xbe5466cf34e90c6d)) ^ b;
    b = fold(b ^ a, G_GUINT64_CONSTANT(0xc0ac29b7c97c50dd)) + a;
    b &= ~(guint64)3;
    return (EepExploreHash){a, b != 0 ? b : 4};
}

/* -- the coordinator and the world at large -- */

static void put_coordinator(Words *words, const EepExploreRig *rig)
{
    const EepControl *control = eep_resize_control(rig->resize);
    const EepCoordinator *coordinator = &control->coordinator;
    const EepGroup *serving = eep_control_serving(control), *target = eep_control_target(control);
    guint timers = 0;

    for (guint i = 0; i < EEP_RESIZE_TIMER_COUNT; i++) {
        timers |= (coordinator->timers[i] != 0) << 2 * i;
        for (guint k = 0; k < EEP_EXPLORE_MAX_TIMERS; k++)
            timers |=
                (coordinator->timers[i] != 0 && rig->world.timers[k] == coordinator->timers[i])
                << (2 * i + 1);
    }
    put(words, coordinator->state | (guint64)coordinator->from << 8 |
                   (guint64)coordinator->to << 16 | (guint64)coordinator->is_up << 24 |
                   (guint64)coordinator->is_refusing << 25 | (guint64)coordinator->n_queued << 32 |
                   (guint64)timers << 40);
    put(words, coordinator->scheme | (guint64)coordinator->recovery << 8 |
                   (guint64)coordinator->undo << 16 | (guint64)coordinator->attempts << 24 |
                   (guint64)control->blocked_by << 32 | (guint64)control->slots_per_rank << 40);
    for (guint i = 0; i < coordinator->n_queued; i++)
        put(words, (guint64)coordinator->queue[i]);
    put(words, serving->n_engines | (guint64)target->n_engines << 16 |
                   (guint64)(target->epoch == 0 ? 3 : target->epoch - serving->epoch) << 32);
    for (guint i = 0; i < EEP_CONTROL_MAX_ROWS; i++) {
        const EepRow *row = &control->rows[i];

        if (row->n_entered == 0 && row->state == 0)
            continue;
        put(words, i | (guint64)row->n_entered << 8 | (guint64)row->n_done << 24 |
                       (guint64)row->state << 40 | (guint64)(row->op != 0) << 48);
        put(words, row->n_arrived | (guint64)row->pass << 32);
    }
    put(words, G_MAXUINT64);
}

/* The same in all states, unless some were lost or answered twice. */
static guint8 n_requests(const EepExploreWorld *world)
{
    guint n = world->n_finished + world->n_aborted + world->n_died;

    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++)
        n += world->lines[i].n_requests;
    return (guint8)n;
}

static void put_world(Words *words, const EepExploreWorld *world)
{
    put(words, world->is_stepping | world->is_blocked << 1 | world->is_refusing << 2 |
                   world->is_eplb_suspended << 3 | world->is_reshuffling << 4 |
                   world->has_spread << 5 | world->is_open << 6 | (world->n_aborted > 0) << 7 |
                   (guint64)world->reshuffle_mode << 8 | (guint64)world->faults_left << 16 |
                   (guint64)world->is_asked << 24 | (guint64)world->outcome << 32 |
                   (guint64)world->degraded << 40 | (guint64)n_requests(world) << 48);
}

/* -- operations, in an order that is not that of their ids -- */

typedef struct {
    guint64 key;
    const EepExploreOp *op;
} OpOfRow;

static int compare_ops(gconstpointer a, gconstpointer b)
{
    guint64 key_a = ((const OpOfRow *)a)->key, key_b = ((const OpOfRow *)b)->key;

    return key_a < key_b ? -1 : key_a > key_b;
}

static guint order_ops(const EepExploreRig *rig, OpOfRow *ret_ops)
{
    const EepControl *control = eep_resize_control(rig->resize);
    guint n = 0;

    for (guint i = 0; i < EEP_EXPLORE_MAX_OPS; i++) {
        const EepExploreOp *op = &rig->world.ops[i];
        guint row = 0;

        if (op->id == 0)
            continue;
        while (row < EEP_CONTROL_MAX_ROWS && control->rows[row].op != op->id)
            row++;
        ret_ops[n++] = (OpOfRow){(guint64)row << 24 | (guint64)op->kind << 8 |
                                     (guint64)op->is_aborted << 1 | op->has_failed,
                                 op};
    }
    qsort(ret_ops, n, sizeof *ret_ops, compare_ops);
    return n;
}

/* -- workers -- */

/* Ranks decide who leaves, and nothing else; so they are forgotten once nobody will ask. */
static gboolean ranks_matter(const EepExploreRig *rig)
{
    return rig->world.is_asked == 0 || (rig->world.is_asked == 1 && rig->world.faults_left > 0) ||
           eep_resize_control(rig->resize)->coordinator.n_queued > 0;
}

static guint64 queue_word(const EepExploreRig *rig, const EepExploreNote *notes, guint n)
{
    guint64 word = 0;
    guint8 serial = (guint8)eep_resize_control(rig->resize)->coordinator.serial;

    for (guint i = 0; i < n; i++)
        word =
            word << 8 | (guint8)((notes[i] & 0x3f) + 1) | (guint8)((notes[i] >> 8) != serial) << 7;
    return word;
}

static guint64 rank_byte(const EepGroup *group, EepWorkerId worker, gboolean matters)
{
    guint rank = eep_group_rank(group, worker);

    return rank == EEP_RANK_NONE ? 0 : matters ? rank + 1 : 1;
}

static void sign_control(const EepExploreRig *rig, EepWorkerId worker, Signature *signature)
{
    const EepControl *control = eep_resize_control(rig->resize);
    guint slot = eep_control_find(control, worker);
    const EepMember *member;
    const EepParticipant *participant;

    if (slot == EEP_SLOT_NONE)
        return;
    member = eep_control_member(control, slot);
    participant = eep_control_participant(control, slot);
    signature->words[0] = 1 | (guint64)member->role << 8 | (guint64)member->is_member << 16 |
                          (guint64)member->is_lost << 17 | (guint64)participant->is_stopped << 18 |
                          (guint64)participant->state << 24;
    signature->words[1] = participant->inbox | (guint64)participant->notes_to << 32;
    signature->words[2] = participant->entered | (guint64)participant->done << 32;
    signature->words[3] = *eep_control_heard(control, slot) | (guint64)participant->notes_from
                                                                  << 32;
}

static void sign(const EepExploreRig *rig, guint index, const OpOfRow *ops, guint n_ops,
                 gboolean with_ranks, Signature *ret_signature)
{
    const EepControl *control = eep_resize_control(rig->resize);
    const EepExploreWorld *world = &rig->world;
    const EepExploreLine *line = &world->lines[index];
    guint64 bits = (guint64)(world->reshuffle_members >> index & 1) << 60 |
                   (guint64)(world->migrating >> index & 1) << 61 |
                   (guint64)(world->migration_members >> index & 1) << 62;

    memset(ret_signature, 0, sizeof *ret_signature);
    sign_control(rig, line->worker, ret_signature);
    ret_signature->words[4] =
        1 | rank_byte(eep_control_serving(control), line->worker, with_ranks) << 8 |
        rank_byte(eep_control_target(control), line->worker, with_ranks) << 16;
    ret_signature->words[5] = line->is_alive | line->is_stopped << 1 | line->is_lost << 2 |
                              line->is_routable << 3 | (guint64)line->pause << 8 |
                              (guint64)line->n_requests << 16 | (guint64)line->held << 24 |
                              (guint64)line->staged << 28 | (guint64)line->mapped << 32 |
                              (guint64)(guint8)(world->version - line->version) << 40;
    ret_signature->words[6] = queue_word(rig, line->to, line->n_to);
    ret_signature->words[7] = queue_word(rig, line->from, line->n_from);
    for (guint i = 0; i < n_ops; i++)
        bits |= (guint64)(ops[i].op->members >> index & 1) << 2 * i |
                (guint64)(ops[i].op->pending >> index & 1) << (2 * i + 1);
    ret_signature->words[8] = bits;
}

static int compare_signatures(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, sizeof(Signature));
}

EepExploreHash eep_explore_hash(const EepExploreRig *rig, gboolean with_symmetry)
{
    gboolean with_ranks = !with_symmetry || ranks_matter(rig);
    OpOfRow ops[EEP_EXPLORE_MAX_OPS];
    Signature signatures[EEP_EXPLORE_MAX_LINES];
    Words words;
    guint n_ops = order_ops(rig, ops), n = 0;

    words.n = 0;
    put_coordinator(&words, rig);
    put_world(&words, &rig->world);
    for (guint i = 0; i < n_ops; i++)
        put(&words, ops[i].key);
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++)
        if (rig->world.lines[i].worker != 0)
            sign(rig, i, ops, n_ops, with_ranks, &signatures[n++]);
    qsort(signatures, n, sizeof *signatures, compare_signatures);
    for (guint i = 0; i < n; i++)
        for (guint k = 0; k < SIGNATURE_WORDS; k++)
            put(&words, signatures[i].words[k]);
    return hash_words(&words);
}
