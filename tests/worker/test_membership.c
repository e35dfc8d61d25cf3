/* Who leaves a group waits for the others while they come, and for nobody twice; a group that is
 * made again is not waited for at all. On communicators that note what is done to them. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/worker/membership.h"
#include "tests/run_suite.h"

typedef struct {
    EepComm base;
    GString *log; /* borrowed */
    char name;    /* in the order of joining, from a */
} Comm;

typedef struct {
    EepTransport base;
    GString *log;
    char next;
    gboolean nobody_comes;
    const gint *stop; /* what leave() was handed last */
} Transport;

static void note(EepComm *base, char what)
{
    const Comm *comm = (const Comm *)base;

    g_string_append_printf(comm->log, "%c%c ", what, comm->name);
}

static void comm_abort(EepComm *base)
{
    note(base, 'x');
}

static gboolean comm_leave(EepComm *base, const gint *stop)
{
    Transport *transport = (Transport *)base->transport;

    note(base, '-');
    transport->stop = stop;
    g_free(base);
    return !transport->nobody_comes;
}

static Comm *comm_new(Transport *transport, guint rank, guint n_ranks);

/* Notes the parent and whom it leaves out. */
static EepComm *comm_shrink(EepComm *base, guint n_gone, const guint *gone, gboolean is_broken,
                            gint64 wait_ns, const gint *stop, GError **error)
{
    Transport *transport = (Transport *)base->transport;

    note(base, is_broken ? '!' : '<');
    for (guint i = 0; i < n_gone; i++)
        g_string_append_printf(transport->log, "%u ", gone[i]);
    if (transport->nobody_comes) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_TIMED_OUT, "nobody comes");
        return NULL;
    }
    return &comm_new(transport, base->rank, base->n_ranks - n_gone)->base;
}

static const EepCommOps comm_ops = {
    .size = sizeof(EepCommOps), .shrink = comm_shrink, .abort = comm_abort, .leave = comm_leave};

static Comm *comm_new(Transport *transport, guint rank, guint n_ranks)
{
    Comm *comm = g_new0(Comm, 1);

    comm->base = (EepComm){
        .ops = &comm_ops, .transport = &transport->base, .rank = rank, .n_ranks = n_ranks};
    comm->log = transport->log;
    comm->name = transport->next++;
    return comm;
}

static gboolean make_id(EepTransport *self, EepCommId *ret_id, GError **error)
{
    *ret_id = (EepCommId){0};
    return TRUE;
}

static EepComm *join(EepTransport *base, const EepCommId *id, guint rank, guint n_ranks,
                     gint64 wait_ns, const gint *stop, GError **error)
{
    return &comm_new((Transport *)base, rank, n_ranks)->base;
}

static const EepTransportOps transport_ops = {
    .size = sizeof(EepTransportOps), .name = "noted", .make_id = make_id, .join = join};

static Transport transport;
static EepMembers *members;
static const gint no_stop;

static void setup(void)
{
    transport = (Transport){.base = {&transport_ops}, .log = g_string_new(NULL), .next = 'a'};
    members = eep_members_new(&transport.base, &no_stop);
}

static void teardown(void)
{
    eep_members_free(members);
    g_string_free(transport.log, TRUE);
}

static void tell(gpointer self, const EepWireGroupId *id)
{
}

static void join_epoch(guint32 epoch)
{
    EepWirePhase phase = {.op = epoch, .target_epoch = epoch, .n_ranks = 2};

    ck_assert(eep_members_join(members, &phase, 1000000000, &no_stop, tell, NULL, NULL));
}

static void expect(const char *log)
{
    ck_assert_str_eq(transport.log->str, log);
    g_string_truncate(transport.log, 0);
}

/* Its members join the new one, or are gone: nobody is there to leave it with. */
START_TEST(a_group_made_again_is_not_waited_for)
{
    join_epoch(1);
    join_epoch(2);
    expect("");
    join_epoch(2);
    expect("xc xd -c -d ");
}
END_TEST

START_TEST(retired_groups_are_left_in_good_order)
{
    for (guint epoch = 1; epoch <= 3; epoch++)
        join_epoch(epoch);
    eep_members_retire(members, 2, TRUE, &no_stop);
    expect("-e -f -a -b ");
    ck_assert_ptr_eq(transport.stop, &no_stop);
}
END_TEST

START_TEST(who_does_not_come_is_not_waited_for_again)
{
    for (guint epoch = 1; epoch <= 3; epoch++)
        join_epoch(epoch);
    transport.nobody_comes = TRUE;
    eep_members_retire(members, 2, TRUE, &no_stop);
    expect("-e xf -f xa xb -a xb -b ");
}
END_TEST

START_TEST(the_gone_are_not_waited_for)
{
    join_epoch(1);
    join_epoch(2);
    eep_members_retire(members, 2, FALSE, &no_stop);
    expect("xa xb -a -b ");
}
END_TEST

/* By whoever uses it last. */
START_TEST(a_group_in_use_is_left_later)
{
    EepMembership *group;

    join_epoch(1);
    join_epoch(2);
    group = eep_members_find(members, 1);
    eep_members_retire(members, 2, TRUE, &no_stop);
    expect("");
    ck_assert_ptr_null(eep_members_find(members, 1));
    eep_membership_unref(group);
    expect("-a -b ");
}
END_TEST

static gboolean shrinks(guint32 epoch, guint n_old, guint8 left_out, GError **error)
{
    EepWirePhase phase = {.op = 7,
                          .epoch = epoch,
                          .target_epoch = 9,
                          .n_ranks = 1,
                          .n_old = n_old,
                          .has_gone = epoch == 2,
                          .left_out = {left_out}};

    return eep_members_join(members, &phase, 1000000000, &no_stop, tell, NULL, error);
}

/* The communicator for moves comes out of the old group's, which stays; that for steps is new. */
START_TEST(a_smaller_group_shrinks_out_of_the_old_one)
{
    join_epoch(1);
    join_epoch(2);
    ck_assert(shrinks(1, 2, 2, NULL));
    expect("<b 1 ");
    ck_assert(shrinks(2, 2, 2, NULL)); /* after a loss, in the place of the first */
    expect("xe xf -e -f !d 1 ");
    eep_members_retire(members, 9, TRUE, &no_stop);
    expect("-c -d -a -b ");
}
END_TEST

START_TEST(what_does_not_shrink_is_told)
{
    g_autoptr(GError) error = NULL;

    join_epoch(1);
    transport.nobody_comes = TRUE;
    ck_assert(!shrinks(1, 2, 2, &error));
    ck_assert(g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_TIMED_OUT));
    expect("<b 1 xc -c ");
    ck_assert_ptr_null(eep_members_find(members, 9));
    g_clear_error(&error);
    /* A group that it is not in, and one of another size. */
    ck_assert(!shrinks(5, 2, 2, &error));
    g_clear_error(&error);
    ck_assert(!shrinks(1, 3, 2, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "no group of epoch 1"));
    expect("xd -d xe -e ");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("membership");
    TCase *tcase = tcase_create("membership");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_group_made_again_is_not_waited_for);
    tcase_add_test(tcase, retired_groups_are_left_in_good_order);
    tcase_add_test(tcase, who_does_not_come_is_not_waited_for_again);
    tcase_add_test(tcase, the_gone_are_not_waited_for);
    tcase_add_test(tcase, a_group_in_use_is_left_later);
    tcase_add_test(tcase, a_smaller_group_shrinks_out_of_the_old_one);
    tcase_add_test(tcase, what_does_not_shrink_is_told);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK);
}
