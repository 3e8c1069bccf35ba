/* Attention over a cache: streamed (block and join, or stream) and with scores in memory (scores, softmax, values).
 *
 * Query rows of a stored head are the S*group pairs of a position and a query head that reads it: row r is position r / group, query head
 * h*group + r % group. Groups of items take tiles of FEW or MANY rows, which share what is read, and blocks of BLOCK slots, an item a slot.
 * How many slots there are and where the first row sits are steps: groups are launched for a fixed number of blocks, and those beyond the
 * last slot do nothing.
 *
 * Order of sums, whatever is done beside: a score sums its inputs in order. The exponentials of a block are 16 sums of every 16th slot,
 * joined in order. The values of a block are summed in parts of its slots (block_parts), in order within each, parts in order. Blocks are
 * joined in order; one of which a row sees nothing is left out. So a row's result depends on its own slots and Dh alone, few and many rows
 * give the same bytes, and moving all slots by whole blocks changes nothing. */
#include "engine/gpu/compat.inc"
#include "engine/gpu/task.inc"

#define BLOCK 256 /* HM_ATTENTION_BLOCK, and items of a group */
#define FEW 4
#define MANY 16

/* --- scores --- */

/* sums[x] = q_x k of FEW rows; the elements of k lie `step` apart. */
DEVICE void multiply_key(GLOBAL const char *k, int type, long at, long step, int Dh, GLOBAL const float *q0, GLOBAL const float *q1,
                         GLOBAL const float *q2, GLOBAL const float *q3, float *sums)
{
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (int i = 0; i < Dh; i++) {
        float x = load(k, type, at + i * step);
        s0 = FMA(q0[i], x, s0);
        s1 = FMA(q1[i], x, s1);
        s2 = FMA(q2[i], x, s2);
        s3 = FMA(q3[i], x, s3);
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* Scores of slot j and rows r .. r+FEW-1 of the tile. */
DEVICE void score(const task *t, int r, long j, float *sums)
{
    long at = t->panels ? j / PANEL * PANEL * t->slot + j % PANEL : j * t->slot, step = t->panels ? PANEL : 1;
    GLOBAL const float *q0 = t->q + row_at(t, r), *q1 = t->q + row_at(t, r + 1), *q2 = t->q + row_at(t, r + 2),
                       *q3 = t->q + row_at(t, r + 3);
    if (t->type == F32)
        multiply_key(t->k, F32, at, step, t->Dh, q0, q1, q2, q3, sums);
    else if (t->type == BF16)
        multiply_key(t->k, BF16, at, step, t->Dh, q0, q1, q2, q3, sums);
    else
        multiply_key(t->k, I8, at, step, t->Dh, q0, q1, q2, q3, sums);
    for (int x = 0; x < FEW; x++)
        sums[x] = task_score(t, r + x, j, sums[x]);
}

/* --- values --- */

/* Adds to sums[x] the values of n slots, `step` apart, weighed by w[x*BLOCK + slot]. */
DEVICE void multiply_values(GLOBAL const char *v, int type, long at, long step, int n, LOCAL const float *w, float *sums)
{
    float s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    for (int j = 0; j < n; j++) {
        float x = load(v, type, at + j * step);
        s0 = FMA(w[j], x, s0);
        s1 = FMA(w[BLOCK + j], x, s1);
        s2 = FMA(w[2 * BLOCK + j], x, s2);
        s3 = FMA(w[3 * BLOCK + j], x, s3);
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* sums[x] = element d of the values of slots from .. to-1, a panel at a time, weighed by w[x*BLOCK + slot - block] for FEW rows. */
DEVICE void sum_values(const task *t, LOCAL const float *w, long block, long from, long to, int d, float *sums)
{
    long step = t->panels ? LANES : t->slot;
    for (int x = 0; x < FEW; x++)
        sums[x] = 0;
    for (long j = from; j < to;) {
        long end = (j / PANEL + 1) * PANEL, at = j * t->slot + d;
        if (t->panels)
            at = j / PANEL * PANEL * t->slot + d / LANES * (PANEL * LANES) + j % PANEL * LANES + d % LANES;
        end = end < to ? end : to;
        if (t->type == F32)
            multiply_values(t->v, F32, at, step, (int)(end - j), w + (j - block), sums);
        else if (t->type == BF16)
            multiply_values(t->v, BF16, at, step, (int)(end - j), w + (j - block), sums);
        else
            multiply_values(t->v, I8, at, step, (int)(end - j), w + (j - block), sums);
        j = end;
    }
}

/* Into how many parts the slots of a block are cut, so that all items have a column of one: a power of two, 16 at most. */
DEVICE int block_parts(int Dh)
{
    int padded = (Dh + LANES - 1) / LANES * LANES, parts = 1;
    while (parts * 2 * padded <= BLOCK)
        parts *= 2;
    return parts;
}

/* Slots from .. to-1 of part p of a block, as far as the tile sees them. */
DEVICE void part_slots(long block, int p, int parts, long begin, long end, long *from, long *to)
{
    long a = block + (long)p * (BLOCK / parts), b = a + BLOCK / parts;
    *from = a > begin ? a : begin;
    *to = b < end ? b : end;
}

/* --- a block --- */

/* What a block is to the rows of a tile: w: exponentials, of I8 times the scales of values; top: the greatest score; sum: of exponentials. */
DEVICE void weigh_block(const task *t, int most, long block, long begin, long end, LOCAL float *w, LOCAL float *lanes, LOCAL float *top,
                        LOCAL float *sum)
{
    int item = ITEM, row = item / 16, lane = item % 16;
    long j = block + item;
    for (int r = 0; r < most; r += FEW) {
        float sums[FEW] = {-INF, -INF, -INF, -INF};
        if (r < t->rows && j >= begin && j < end)
            score(t, r, j, sums);
        for (int x = 0; x < FEW; x++)
            w[(r + x) * BLOCK + item] = sums[x];
    }
    BARRIER();
    if (row < most) {
        float best = -INF;
        for (int i = lane; i < BLOCK; i += 16) {
            float s = w[row * BLOCK + i];
            best = s > best ? s : best;
        }
        lanes[item] = best;
    }
    BARRIER();
    if (item < most) {
        float best = -INF;
        for (int i = 0; i < 16; i++)
            best = lanes[item * 16 + i] > best ? lanes[item * 16 + i] : best;
        top[item] = best;
    }
    BARRIER();
    for (int r = 0; r < most; r++)
        w[r * BLOCK + item] = w[r * BLOCK + item] == -INF || top[r] == -INF ? 0.0f : exp(w[r * BLOCK + item] - top[r]);
    BARRIER();
    if (row < most) {
        float s = 0;
        for (int i = lane; i < BLOCK; i += 16)
            s += w[row * BLOCK + i];
        lanes[item] = s;
    }
    BARRIER();
    if (item < most) {
        float s = 0;
        for (int i = 0; i < 16; i++)
            s += lanes[item * 16 + i];
        sum[item] = s;
    }
    if (t->type == I8 && j >= begin && j < end)
        for (int r = 0; r < most; r++)
            w[r * BLOCK + item] = w[r * BLOCK + item] * t->v_scale[j];
    BARRIER();
}

/* The values of a block, of FEW rows: items have a column of a part each, which lie in `joined` then. One part alone is join_parts's. */
DEVICE void sum_parts(const task *t, LOCAL const float *w, long block, long begin, long end, LOCAL float *joined)
{
    int parts = block_parts(t->Dh), padded = (t->Dh + LANES - 1) / LANES * LANES, d = ITEM % padded, p = ITEM / padded;
    float sums[FEW];
    long from, to;
    if (parts > 1 && p < parts && d < t->Dh) {
        part_slots(block, p, parts, begin, end, &from, &to);
        sum_values(t, w, block, from, to, d, sums);
        for (int x = 0; x < FEW; x++)
            joined[x * BLOCK + ITEM] = sums[x];
    }
    BARRIER();
}

/* sums[x] of column d, after sum_parts. */
DEVICE void join_parts(const task *t, LOCAL const float *w, long block, long begin, long end, LOCAL const float *joined, int d, float *sums)
{
    int parts = block_parts(t->Dh), padded = (t->Dh + LANES - 1) / LANES * LANES;
    if (parts == 1) {
        sum_values(t, w, block, begin > block ? begin : block, end < block + BLOCK ? end : block + BLOCK, d, sums);
        return;
    }
    for (int x = 0; x < FEW; x++) {
        sums[x] = joined[x * BLOCK + d];
        for (int p = 1; p < parts; p++)
            sums[x] += joined[x * BLOCK + p * padded + d];
    }
}

/* --- streamed --- */

/* Group (block, tile of FEW rows, pair). parts: [pair][row of the stored head][block of `blocks`][2 + Dh]: greatest score, sum of
 * exponentials, values weighed by them. With one block in all, the rows of `out` instead. */
KERNEL(attention_block, 256)(GLOBAL float *out, GLOBAL float *parts, const int blocks, TASK)
{
    SHARED(float, w, FEW *BLOCK);
    SHARED(float, joined, FEW *BLOCK);
    SHARED(float, lanes, FEW * 16);
    SHARED(float, top, FEW);
    SHARED(float, sum, FEW);
    TASK_OPEN(t, GROUP(2), GROUP(1) * FEW, FEW);
    long block = GROUP(0) * BLOCK, begin = task_begin(&t), end = task_end(&t);
    weigh_block(&t, FEW, block, begin, end, w, lanes, top, sum);
    sum_parts(&t, w, block, begin, end, joined);
    if (blocks > 1 && (block >= end || block + BLOCK <= begin))
        return;
    GLOBAL float *to = parts + ((GROUP(2) * S * t.group + t.first) * blocks + GROUP(0)) * (2 + Dh);
    long next = (long)blocks * (2 + Dh);
    for (int d = ITEM; d < Dh; d += BLOCK) {
        float sums[FEW];
        join_parts(&t, w, block, begin, end, joined, d, sums);
        for (int x = 0; x < t.rows; x++)
            if (blocks > 1)
                to[x * next + 2 + d] = sums[x];
            else
                out[row_at(&t, x) + d] = sums[x] / sum[x];
    }
    if (blocks > 1 && ITEM < t.rows) {
        to[ITEM * next] = top[ITEM];
        to[ITEM * next + 1] = sum[ITEM];
    }
}

/* How a block joins what there is of a row: 0 not at all, 1 in its place, 2 weighed beside it. */
DEVICE int join_way(float *top, float *sum, float block_top, float block_sum, float *old_part, float *new_part)
{
    float now = block_top > *top ? block_top : *top;
    int way = block_top == -INF ? 0 : *top == -INF ? 1 : 2;
    *old_part = exp(*top - now);
    *new_part = exp(block_top - now);
    if (way == 1)
        *sum = block_sum;
    if (way == 2)
        *sum = *sum * *old_part + block_sum * *new_part;
    if (way)
        *top = now;
    return way;
}

/* Group (row of the stored head, pair): its blocks, joined in order. */
KERNEL(attention_join, 64)(GLOBAL float *out, GLOBAL const float *parts, const int blocks, TASK)
{
    TASK_OPEN(t, GROUP(1), GROUP(0), 1);
    long s = t.first / t.group, end = seen_to(&t, s);
    for (int d = ITEM; d < Dh; d += 64) {
        float top = -INF, sum = 0, c = 0, old_part, new_part;
        for (long i = seen_from(&t, s) / BLOCK; i * BLOCK < end; i++) {
            GLOBAL const float *from = parts + ((GROUP(1) * S * t.group + t.first) * blocks + i) * (2 + Dh);
            int way = join_way(&top, &sum, from[0], from[1], &old_part, &new_part);
            if (way)
                c = way == 1 ? from[2 + d] : c * old_part + from[2 + d] * new_part;
        }
        out[row_at(&t, 0) + d] = c / sum;
    }
}

/* Group (tile of MANY rows, pair): all its blocks one after the other; what is joined so far lies in `out`. */
KERNEL(attention_stream, 256)(GLOBAL float *out, TASK)
{
    SHARED(float, w, MANY *BLOCK);
    SHARED(float, lanes, MANY * 16);
    SHARED(float, top, MANY);
    SHARED(float, sum, MANY);
    SHARED(float, all_top, MANY);
    SHARED(float, all_sum, MANY);
    SHARED(float, old_part, MANY);
    SHARED(float, new_part, MANY);
    SHARED(int, way, MANY);
    TASK_OPEN(t, GROUP(1), GROUP(0) * MANY, MANY);
    long begin = task_begin(&t), end = task_end(&t);
    int parts = block_parts(Dh);
    if (ITEM < MANY) {
        all_top[ITEM] = -INF;
        all_sum[ITEM] = 0;
    }
    BARRIER();
    for (long block = begin / BLOCK * BLOCK; block < end; block += BLOCK) {
        weigh_block(&t, MANY, block, begin, end, w, lanes, top, sum);
        if (ITEM < MANY) {
            float now = all_top[ITEM], total = all_sum[ITEM], a, b;
            way[ITEM] = join_way(&now, &total, top[ITEM], sum[ITEM], &a, &b);
            all_top[ITEM] = now;
            all_sum[ITEM] = total;
            old_part[ITEM] = a;
            new_part[ITEM] = b;
        }
        BARRIER();
        for (int u = ITEM; u < (t.rows + FEW - 1) / FEW * Dh; u += BLOCK) {
            int r = u / Dh * FEW, d = u % Dh;
            float sums[FEW] = {0, 0, 0, 0}, part[FEW];
            for (int p = 0; p < parts; p++) {
                long from, to;
                part_slots(block, p, parts, begin, end, &from, &to);
                sum_values(&t, w + r * BLOCK, block, from, to, d, part);
                for (int x = 0; x < FEW; x++)
                    sums[x] = p ? sums[x] + part[x] : part[x];
            }
            for (int x = r; x < r + FEW && x < t.rows; x++) {
                GLOBAL float *to = out + row_at(&t, x) + d;
                if (way[x])
                    *to = way[x] == 1 ? sums[x - r] : *to * old_part[x] + sums[x - r] * new_part[x];
            }
        }
        BARRIER();
    }
    for (int u = ITEM; u < (t.rows + FEW - 1) / FEW * Dh; u += BLOCK)
        for (int x = u / Dh * FEW; x < u / Dh * FEW + FEW && x < t.rows; x++) {
            GLOBAL float *to = out + row_at(&t, x) + u % Dh;
            *to = (all_top[x] == -INF ? 0.0f : *to) / all_sum[x];
        }
}

/* --- scores in memory --- */

/* Scores lie [pair][rows_here][stride]; rows from first_row of a stored head on are done. */
#define SCORES const long first_row, const int rows_here, const long stride
#define SCORE_ROW(pair, r) (((pair)*rows_here + (r)) * stride)

/* Group (block, tile of FEW rows, pair): scores of all slots that the tile may see. */
KERNEL(attention_scores, 256)(GLOBAL float *scores, SCORES, TASK)
{
    TASK_OPEN(t, GROUP(2), first_row + GROUP(1) * FEW, FEW);
    long j = GROUP(0) * BLOCK + ITEM;
    if (j < task_begin(&t) || j >= task_end(&t))
        return;
    float sums[FEW];
    score(&t, 0, j, sums);
    for (int x = 0; x < t.rows; x++)
        scores[SCORE_ROW(GROUP(2), GROUP(1) * FEW + x) + j] = sums[x];
}

/* Group (row, pair): scores become weights. The slots are those of the row's tile. */
KERNEL(attention_softmax, 64)(GLOBAL float *scores, SCORES, TASK)
{
    SHARED(float, space, GROUP_SPACE(64));
    TASK_OPEN(t, GROUP(1), first_row + GROUP(0) / FEW * FEW, FEW);
    GLOBAL float *s = scores + SCORE_ROW(GROUP(1), GROUP(0));
    long begin = task_begin(&t), end = task_end(&t);
    float top = -INF, sum = 0;
    for (long j = begin / 64 * 64 + ITEM; j < end; j += 64)
        if (j >= begin)
            top = s[j] > top ? s[j] : top;
    top = group_max(top, space);
    for (long j = begin / 64 * 64 + ITEM; j < end; j += 64)
        if (j >= begin) {
            s[j] = exp(s[j] - top);
            sum += s[j];
        }
    sum = group_sum(sum, space);
    for (long j = begin / 64 * 64 + ITEM; j < end; j += 64)
        if (j >= begin)
            s[j] = type == I8 ? s[j] / sum * t.v_scale[j] : s[j] / sum;
}

/* Group (tile of FEW rows, pair): values weighed, block after block into `out`. */
KERNEL(attention_values, 256)(GLOBAL float *out, GLOBAL const float *scores, SCORES, TASK)
{
    SHARED(float, w, FEW *BLOCK);
    SHARED(float, joined, FEW *BLOCK);
    TASK_OPEN(t, GROUP(1), first_row + GROUP(0) * FEW, FEW);
    long begin = task_begin(&t), end = task_end(&t), first = begin / BLOCK * BLOCK;
    for (long block = first; block < end; block += BLOCK) {
        long j = block + ITEM;
        for (int x = 0; x < FEW; x++)
            w[x * BLOCK + ITEM] = x < t.rows && j >= begin && j < end ? scores[SCORE_ROW(GROUP(1), GROUP(0) * FEW + x) + j] : 0.0f;
        BARRIER();
        sum_parts(&t, w, block, begin, end, joined);
        for (int d = ITEM; d < Dh; d += BLOCK) {
            float sums[FEW];
            join_parts(&t, w, block, begin, end, joined, d, sums);
            for (int x = 0; x < t.rows; x++) {
                GLOBAL float *to = out + row_at(&t, x) + d;
                *to = block == first ? sums[x] : *to + sums[x];
            }
        }
        BARRIER();
    }
}
