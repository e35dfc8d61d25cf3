/* core/resize/coordinator.h, participant.h: both tables, pair by pair. */
#include <check.h>
#include <stdlib.h>

#include "core/resize/coordinator.h"
#include "core/resize/generation.h"
#include "core/resize/participant.h"

typedef struct {
    guint from, event, to;
} Arrow;

#define C(from, event, to)                                                                         \
    {                                                                                              \
        EEP_COORDINATOR_##from, EEP_COORDINATOR_##event, EEP_COORDINATOR_##to                      \
    }
#define P(from, event, to)                                                                         \
    {                                                                                              \
        EEP_PARTICIPANT_##from, EEP_PARTICIPANT_##event, EEP_PARTICIPANT_##to                      \
    }

static const Arrow coordinator_arrows[] = {
    C(IDLE, REQUEST, PREPARING),
    C(PREPARING, ALL_READY, DRAINING),
    C(PREPARING, FAILURE, STUCK),
    C(PREPARING, DEADLINE, STUCK),
    C(PREPARED, REQUEST, DRAINING),
    C(PREPARED, NOTHING_KEPT, IDLE),
    C(DRAINING, DRAINED, PAUSING),
    C(DRAINING, DRAIN_TIMED_OUT, PREPARED),
    C(PAUSING, ALL_PAUSED, STOPPING),
    C(PAUSING, FAILURE, STUCK),
    C(PAUSING, DEADLINE, STUCK),
    C(STOPPING, ALL_STOPPED, COMMITTING),
    C(STOPPING, FAILURE, STUCK),
    C(STOPPING, DEADLINE, STUCK),
    C(COMMITTING, ALL_COMMITTED, RESUMING),
    C(COMMITTING, FAILURE, STUCK),
    C(COMMITTING, DEADLINE, STUCK),
    C(RESUMING, ALL_RESUMED, SETTLING),
    C(RESUMING, FAILURE, STUCK),
    C(RESUMING, DEADLINE, STUCK),
    C(SETTLING, ALL_SETTLED, IDLE),
    C(SETTLING, FAILURE, STUCK),
    C(SETTLING, DEADLINE, STUCK),
    C(DRAINING, FAILURE, STUCK),
    C(DRAINING, DEADLINE, STUCK),
    C(PREPARING, UNDO, ROLLING_BACK),
    C(DRAINING, UNDO, ROLLING_BACK),
    C(PAUSING, UNDO, ROLLING_BACK),
    C(STOPPING, UNDO, ROLLING_BACK),
    C(COMMITTING, UNDO, ROLLING_BACK),
    C(ROLLING_BACK, ALL_UNDONE, IDLE),
    C(STUCK, REQUEST, PREPARING),
};

static const Arrow participant_arrows[] = {
    P(ABSENT, PREPARE, PREPARING),       P(ABSENT, COMMIT, COMMITTING),
    P(SERVING, PREPARE, PREPARING),      P(SERVING, PAUSE_KEEP, PAUSING),
    P(SERVING, PAUSE_ABORT, PAUSING),    P(SERVING, STOP, STOPPING),
    P(PREPARING, ROW_DONE, PREPARING),   P(PREPARING, STAGE_DONE, READY),
    P(PREPARING, FAIL, BROKEN),          P(READY, PAUSE_KEEP, PAUSING),
    P(READY, PAUSE_ABORT, PAUSING),      P(READY, STOP, STOPPING),
    P(READY, COMMIT, COMMITTING),        P(PAUSING, CONSENSUS, PAUSED),
    P(PAUSED, COMMIT, COMMITTING),       P(STOPPING, ROW_DONE, STOPPING),
    P(STOPPING, EXITED, GONE),           P(STOPPING, FAIL, BROKEN),
    P(COMMITTING, ROW_DONE, COMMITTING), P(COMMITTING, STAGE_DONE, COMMITTED),
    P(COMMITTING, EXITED, GONE),         P(COMMITTING, FAIL, BROKEN),
    P(COMMITTED, RESUME, RESUMING),      P(RESUMING, ROW_DONE, RESUMING),
    P(RESUMING, STAGE_DONE, SETTLING),   P(RESUMING, FAIL, BROKEN),
    P(SETTLING, ROW_DONE, SETTLING),     P(SETTLING, STAGE_DONE, SERVING),
    P(SETTLING, FAIL, BROKEN),           P(SERVING, COMMIT, COMMITTING),
    P(PREPARING, OPEN, PREPARING),       P(STOPPING, OPEN, STOPPING),
    P(COMMITTING, OPEN, COMMITTING),     P(RESUMING, OPEN, RESUMING),
    P(SETTLING, OPEN, SETTLING),         P(ABSENT, CANCEL, UNDOING),
    P(SERVING, CANCEL, UNDOING),         P(PREPARING, CANCEL, UNDOING),
    P(READY, CANCEL, UNDOING),           P(PAUSING, CANCEL, UNDOING),
    P(PAUSED, CANCEL, UNDOING),          P(COMMITTING, CANCEL, UNDOING),
    P(BROKEN, CANCEL, UNDOING),          P(UNDOING, ROW_DONE, UNDOING),
    P(UNDOING, STAGE_DONE, SERVING),
};

/* The state that the list above gives, `none` for a pair that is not in it. */
static guint expected(const Arrow *arrows, guint n, guint from, guint event, guint none)
{
    for (guint i = 0; i < n; i++)
        if (arrows[i].from == from && arrows[i].event == event)
            return arrows[i].to;
    return none;
}

/* A recovery takes everybody from where it is, but who has gone. */
static guint expected_of_participant(guint from, guint event)
{
    if (from != EEP_PARTICIPANT_GONE && event == EEP_PARTICIPANT_RESET)
        return EEP_PARTICIPANT_SERVING;
    if (from != EEP_PARTICIPANT_GONE && event == EEP_PARTICIPANT_EXITED)
        return EEP_PARTICIPANT_GONE;
    return expected(participant_arrows, G_N_ELEMENTS(participant_arrows), from, event,
                    EEP_PARTICIPANT_STATE_COUNT);
}

START_TEST(coordinator_pairs)
{
    for (guint from = 0; from < EEP_COORDINATOR_STATE_COUNT; from++)
        for (guint event = 0; event < EEP_COORDINATOR_EVENT_COUNT; event++)
            ck_assert_msg(eep_coordinator_next(from, event) ==
                              expected(coordinator_arrows, G_N_ELEMENTS(coordinator_arrows), from,
                                       event, EEP_COORDINATOR_STATE_COUNT),
                          "%s on %s", eep_coordinator_state_names[from],
                          eep_coordinator_event_names[event]);
}
END_TEST

START_TEST(participant_pairs)
{
    for (guint from = 0; from < EEP_PARTICIPANT_STATE_COUNT; from++)
        for (guint event = 0; event < EEP_PARTICIPANT_EVENT_COUNT; event++)
            ck_assert_msg(eep_participant_next(from, event) == expected_of_participant(from, event),
                          "%s on %s", eep_participant_state_names[from],
                          eep_participant_event_names[event]);
}
END_TEST

/* From the first state every other can be reached, and from every one but the dead ends the first
 * or (for one that leaves) the end can. */
static guint64 reachable(guint64 states, guint n_states, guint n_events,
                         guint (*next)(guint, guint))
{
    guint64 before;

    do {
        before = states;
        for (guint from = 0; from < n_states; from++)
            for (guint event = 0; event < n_events; event++)
                if (states >> from & 1 && next(from, event) < n_states)
                    states |= G_GUINT64_CONSTANT(1) << next(from, event);
    } while (states != before);
    return states;
}

static guint coordinator_next(guint state, guint event)
{
    return eep_coordinator_next(state, event);
}

static guint participant_next(guint state, guint event)
{
    return eep_participant_next(state, event);
}

START_TEST(every_state_is_reached)
{
    guint64 all = (G_GUINT64_CONSTANT(1) << EEP_COORDINATOR_STATE_COUNT) - 1;

    ck_assert_uint_eq(reachable(1 << EEP_COORDINATOR_IDLE, EEP_COORDINATOR_STATE_COUNT,
                                EEP_COORDINATOR_EVENT_COUNT, coordinator_next),
                      all);
    all = (G_GUINT64_CONSTANT(1) << EEP_PARTICIPANT_STATE_COUNT) - 1;
    ck_assert_uint_eq(reachable(1 << EEP_PARTICIPANT_ABSENT, EEP_PARTICIPANT_STATE_COUNT,
                                EEP_PARTICIPANT_EVENT_COUNT, participant_next),
                      all);
}
END_TEST

START_TEST(every_state_leads_back)
{
    for (guint from = 0; from < EEP_COORDINATOR_STATE_COUNT; from++) {
        guint64 states = reachable(1u << from, EEP_COORDINATOR_STATE_COUNT,
                                   EEP_COORDINATOR_EVENT_COUNT, coordinator_next);

        ck_assert_int_eq(states >> EEP_COORDINATOR_IDLE & 1, 1);
    }
    for (guint from = 0; from < EEP_PARTICIPANT_STATE_COUNT; from++) {
        guint64 states = reachable(1u << from, EEP_PARTICIPANT_STATE_COUNT,
                                   EEP_PARTICIPANT_EVENT_COUNT, participant_next);
        gboolean is_end = from == EEP_PARTICIPANT_GONE;

        ck_assert_int_eq(states >> EEP_PARTICIPANT_SERVING & 1, !is_end);
    }
}
END_TEST

static void check_names(const char *const *names, guint n)
{
    for (guint i = 0; i < n; i++) {
        ck_assert_ptr_nonnull(names[i]);
        ck_assert_str_ne(names[i], "");
        for (guint j = 0; j < i; j++)
            ck_assert_str_ne(names[i], names[j]);
    }
}

START_TEST(names)
{
    check_names(eep_coordinator_state_names, EEP_COORDINATOR_STATE_COUNT);
    check_names(eep_coordinator_event_names, EEP_COORDINATOR_EVENT_COUNT);
    check_names(eep_participant_state_names, EEP_PARTICIPANT_STATE_COUNT);
    check_names(eep_participant_event_names, EEP_PARTICIPANT_EVENT_COUNT);
    check_names(eep_note_names, EEP_NOTE_COUNT);
    check_names(eep_stage_names, EEP_STAGE_COUNT);
    check_names(eep_phase_names, EEP_PHASE_COUNT);
    check_names(eep_outcome_names, EEP_OUTCOME_COUNT);
    check_names(eep_recovery_names, EEP_RECOVERY_COUNT);
    /* A note to a participant is the event of its number. */
    for (guint word = 0; eep_note_is_for_participant(word); word++)
        ck_assert_str_eq(eep_note_names[word], eep_participant_event_names[word]);
    for (guint state = 0; state < EEP_PARTICIPANT_STATE_COUNT; state++)
        ck_assert_int_eq(eep_participant_next(state, EEP_PARTICIPANT_ROW_DONE) == state,
                         eep_participant_stage(state) != EEP_STAGE_COUNT);
}
END_TEST

START_TEST(notes_round_trip)
{
    const EepNote note = {EEP_NOTE_COMMITTED, 7, 4000000000u, 0, G_GUINT64_CONSTANT(1) << 40};
    EepEvent event;
    EepNote back;

    eep_note_to_event(&note, &event);
    ck_assert_int_eq(event.kind, EEP_EVENT_NOTE);
    eep_note_from_event(&event, &back);
    ck_assert_int_eq(back.word, note.word);
    ck_assert_uint_eq(back.pool, note.pool);
    ck_assert_uint_eq(back.from, note.from);
    ck_assert_uint_eq(back.to, note.to);
    ck_assert_uint_eq(back.serial, note.serial);
}
END_TEST

/* What every plan has to have, whoever writes the next one. */
static void check_plan(const EepGeneration *generation, const EepGenerationPlan *plan)
{
    guint n_adopt = 0, n_release = 0;

    ck_assert_uint_le(plan->n_rows + 2, EEP_RESIZE_MAX_PHASES);
    for (guint i = 0; i < plan->n_rows; i++) {
        const EepGenerationRow *row = &plan->rows[i];

        ck_assert_msg(i == 0 || row->stage >= plan->rows[i - 1].stage, "%s row %u: stages go back",
                      generation->name, i);
        ck_assert_int_ne(row->who, EEP_WHO_NOBODY);
        ck_assert_int_eq(row->receivers & ~row->who, 0);
        if (row->stage == EEP_STAGE_UNDO)
            ck_assert(generation->rolls_back);
        ck_assert_int_eq(row->bytes != EEP_BYTES_NONE, row->receivers != EEP_WHO_NOBODY);
        n_adopt += row->act == EEP_ACT_ADOPT;
        n_release += row->act == EEP_ACT_RELEASE;
        if (row->act == EEP_ACT_ADOPT)
            ck_assert_int_eq(row->stage, EEP_STAGE_COMMIT);
        if (row->act == EEP_ACT_RELEASE)
            ck_assert(row->stage == EEP_STAGE_RESUME || row->stage == EEP_STAGE_UNDO);
        /* The way back ends where there is none. */
        if (generation->rolls_back && row->stage == EEP_STAGE_COMMIT && row->blocks)
            ck_assert_uint_eq(n_adopt, row->act == EEP_ACT_ADOPT);
    }
    ck_assert_uint_eq(n_adopt, 1);
    ck_assert_uint_eq(n_release, generation->rolls_back ? 2 : 1);
}

START_TEST(generations)
{
    guint n;
    const EepGeneration *all = eep_generation_all(&n);

    ck_assert_uint_eq(n, 8);
    for (guint i = 0; i < n; i++) {
        ck_assert_ptr_eq(eep_generation_find(all[i].name), &all[i]);
        check_plan(&all[i], &all[i].up);
        check_plan(&all[i], &all[i].down);
    }
    for (guint i = EEP_RECOVERY_NONE + 1; i < EEP_RECOVERY_COUNT; i++) {
        const EepGeneration *recovery = eep_generation_of_recovery(i);

        ck_assert(recovery->is_recovery);
        check_plan(recovery, &recovery->down);
    }
    ck_assert_ptr_null(eep_generation_of_recovery(EEP_RECOVERY_NONE));
    ck_assert_ptr_null(eep_generation_find("shrink"));
    ck_assert_ptr_null(eep_generation_find("g9"));
    ck_assert_ptr_null(eep_generation_find(NULL));
    ck_assert_str_eq(eep_who_name(EEP_WHO_STAYING, TRUE), "existing");
    ck_assert_str_eq(eep_who_name(EEP_WHO_STAYING, FALSE), "remaining");
    ck_assert_str_eq(eep_who_name(EEP_WHO_OLD, FALSE), "all");
    ck_assert_str_eq(eep_who_name(EEP_WHO_NOBODY, FALSE), "coordinator");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resize_tables");
    TCase *tcase = tcase_create("resize_tables");
    tcase_add_test(tcase, coordinator_pairs);
    tcase_add_test(tcase, participant_pairs);
    tcase_add_test(tcase, every_state_is_reached);
    tcase_add_test(tcase, every_state_leads_back);
    tcase_add_test(tcase, names);
    tcase_add_test(tcase, notes_round_trip);
    tcase_add_test(tcase, generations);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
