/* Which ids a member of a group takes, over a transport whose groups come about at once. */
#include <check.h>
#include <string.h>

#include "gpu/worker/membership.h"
#include "tests/run_suite.h"

#define WAIT_NS 1000000
/* The coordinator's own operations are numbered from here. */
#define OWN (G_GUINT64_CONSTANT(1) << 63)

static void comm_abort(EepComm *self)
{
}

static gboolean comm_leave(EepComm *self, const gint *stop)
{
    g_free(self);
    return TRUE;
}

static const EepCommOps comm_ops = {
    .size = sizeof(EepCommOps), .abort = comm_abort, .leave = comm_leave};

static gboolean make_id(EepTransport *self, EepCommId *ret_id, GError **error)
{
    memset(ret_id, 0, sizeof *ret_id);
    return TRUE;
}

static EepComm *join(EepTransport *self, const EepCommId *id, guint rank, guint n_ranks,
                     gint64 wait_ns, const gint *stop, GError **error)
{
    EepComm *comm = g_new0(EepComm, 1);

    *comm = (EepComm){
        .ops = &comm_ops, .transport = self, .rank = rank, .n_ranks = id->bytes[0] + n_ranks};
    return comm;
}

static const EepTransportOps transport_ops = {
    .size = sizeof(EepTransportOps), .name = "test", .make_id = make_id, .join = join};

static EepTransport transport = {&transport_ops};
static EepMembers *members;
static const gint no_stop;

static void setup(void)
{
    members = eep_members_new(&transport, &no_stop);
}

static void teardown(void)
{
    eep_members_free(members);
}

static void hand_id(guint64 op, guint32 epoch, guint8 mark)
{
    EepWireGroupId id = {.op = op, .epoch = epoch};

    id.serve[0] = mark;
    eep_members_hand_id(members, &id);
}

static EepWirePhase phase_of(guint64 op, guint32 epoch)
{
    return (EepWirePhase){.op = op, .target_epoch = epoch, .rank = 1, .n_ranks = 2};
}

static gboolean joins(guint64 op, guint32 epoch)
{
    EepWirePhase phase = phase_of(op, epoch);
    gint stop = 0;

    return eep_members_join(members, &phase, WAIT_NS, &stop, NULL, NULL, NULL);
}

static gboolean mends(guint64 op, guint32 epoch)
{
    EepWirePhase phase = phase_of(op, epoch);
    gint stop = 0;

    return eep_members_mend(members, &phase, WAIT_NS, &stop, NULL, NULL, NULL);
}

/* The step lane waits for a group to be made anew while the aside lane is to join another one. */
START_TEST(lanes_leave_each_other_their_ids)
{
    hand_id(4, 1, 0);
    ck_assert(joins(4, 1));
    hand_id(7, 2, 0);
    ck_assert(!mends(OWN | 1, 1));
    ck_assert(joins(7, 2));
    hand_id(OWN | 2, 1, 0);
    ck_assert(!joins(9, 3));
    ck_assert(mends(OWN | 2, 1));
}
END_TEST

/* An id counts for the operation that it was made for, also when an epoch is used again. */
START_TEST(ids_given_up_are_not_taken)
{
    hand_id(4, 2, 7);
    ck_assert(!joins(5, 2));
    hand_id(6, 2, 9);
    ck_assert(joins(6, 2));
    g_autoptr(EepMembership) group = eep_members_find(members, 2);
    ck_assert_uint_eq(group->serve->n_ranks, 9 + 2);
    ck_assert(!joins(4, 2));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("membership");
    TCase *tcase = tcase_create("membership");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, lanes_leave_each_other_their_ids);
    tcase_add_test(tcase, ids_given_up_are_not_taken);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK);
}
