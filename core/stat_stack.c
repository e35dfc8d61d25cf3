#include "core/stat_stack.h"

#include <string.h>

void eep_gap_stack_init(EepGapStack *stack)
{
    memset(stack, 0, sizeof *stack);
}

void eep_gap_stack_clear(EepGapStack *stack)
{
    g_free(stack->entries);
    memset(stack, 0, sizeof *stack);
}

/* Moves down where half is free at the bottom, so that pushes stay amortised O(1); else doubles. */
static void make_room(EepGapStack *stack)
{
    gsize length = stack->end - stack->first;

    if (stack->first > 0 && stack->first >= stack->capacity / 2) {
        memmove(stack->entries, stack->entries + stack->first, length * sizeof *stack->entries);
        stack->first = 0;
        stack->end = length;
        return;
    }
    stack->capacity = MAX(stack->capacity * 2, 16);
    stack->entries = g_renew(EepGapEntry, stack->entries, stack->capacity);
}

void eep_gap_stack_push(EepGapStack *stack, guint64 index, EepTime value)
{
    g_assert(value >= 0);
    g_assert(stack->end == stack->first || index >= stack->entries[stack->end - 1].index);

    while (stack->end > stack->first && stack->entries[stack->end - 1].value <= value)
        stack->end--;
    if (stack->end == stack->capacity)
        make_room(stack);
    stack->entries[stack->end++] = (EepGapEntry){index, value};
}

/* The first live entry at or above the index, `end` if none. */
static gsize find(const EepGapStack *stack, guint64 index)
{
    gsize low = stack->first, high = stack->end;

    while (low < high) {
        gsize middle = low + (high - low) / 2;
        if (stack->entries[middle].index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

EepTime eep_gap_stack_max_since(const EepGapStack *stack, guint64 index)
{
    gsize at = find(stack, index);

    return at < stack->end ? stack->entries[at].value : 0;
}

void eep_gap_stack_drop_before(EepGapStack *stack, guint64 index)
{
    stack->first = find(stack, index);
}

gsize eep_gap_stack_length(const EepGapStack *stack)
{
    return stack->end - stack->first;
}
