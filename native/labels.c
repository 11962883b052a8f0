// Copyright 2026 vos_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// The loops over cells and pixels of vos_ros/tracking/labels.py, which says what they are for.
// OpenCV and numpy do the same in a dozen calls a track, each over a picture that has left the
// caches by the next one; here a row is finished before the next is begun.

#include <stdint.h>
#include <string.h>

#include "wide.h"

#define EIGHT 8
#define FOUR 4
typedef float floats8 __attribute__((vector_size(EIGHT * sizeof(float))));
typedef int32_t numbers8 __attribute__((vector_size(EIGHT * sizeof(int32_t))));
typedef uint16_t owners8 __attribute__((vector_size(EIGHT * sizeof(uint16_t))));
typedef float floats4 __attribute__((vector_size(FOUR * sizeof(float))));
typedef int32_t numbers4 __attribute__((vector_size(FOUR * sizeof(int32_t))));
typedef uint16_t owners4 __attribute__((vector_size(FOUR * sizeof(uint16_t))));

// Let an object compete for so many pixels that lie side by side.
#define COMPETE(N) do { \
    floats ## N value, highest; \
    owners ## N holder; \
    memcpy(&value, shares, sizeof(value)); \
    memcpy(&highest, best, sizeof(highest)); \
    memcpy(&holder, owner, sizeof(holder)); \
    value = left + rise * value; \
    const numbers ## N wins = value > highest; \
    const owners ## N taken = __builtin_convertvector(wins, owners ## N); \
    holder = (taken & object) | (~taken & holder); \
    highest = (floats ## N)((wins & (numbers ## N)value) | (~wins & (numbers ## N)highest)); \
    memcpy(best, &highest, sizeof(highest)); \
    memcpy(owner, &holder, sizeof(holder)); \
} while (0)

// Give the pixels between two cells of a row to an object where it is the highest so far.
static inline void compete(
  float left, float right, const float * shares, int count, uint16_t object, float * best,
  uint16_t * owner)
{
  const float rise = right - left;
  // The usual strides: masks enlarged by a guide, and others.
  if (count == FOUR) {
    COMPETE(4);
    return;
  }
  if (count == EIGHT) {
    COMPETE(8);
    return;
  }
  for (int i = 0; i < count; ++i) {
    const float value = left + rise * shares[i];
    if (value > best[i]) {
      best[i] = value;
      owner[i] = object;
    }
  }
}

// Return where the run of one object that holds begin ends, at most at limit.
static inline int run_end(const uint16_t * owner, int begin, int limit)
{
  const uint16_t object = owner[begin];
  const uint64_t same = object * UINT64_C(0x0001000100010001);
  int end = begin + 1;
  for (; end + EIGHT <= limit; end += EIGHT) {
    uint64_t other[2];
    memcpy(other, owner + end, sizeof(other));
    other[0] ^= same;
    other[1] ^= same;
    if (other[0] | other[1]) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
      return end + (other[0] ? __builtin_ctzll(other[0]) : 64 + __builtin_ctzll(other[1])) / 16;
#else
      break;
#endif
    }
  }
  while (end < limit && owner[end] == object) {
    ++end;
  }
  return end;
}

// Cells of a row that lie side by side above the threshold, and what they span together with all
// that hang together with them.  part: the run that speaks for those, itself or an earlier one;
// area and spans are theirs in the one that speaks.
typedef struct
{
  int32_t row, first, last, part, area, first_row, first_column, last_row, last_column;
} run;

static inline int32_t spokesman(run * runs, int32_t k)
{
  while (runs[k].part != k) {
    runs[k].part = runs[runs[k].part].part;
    k = runs[k].part;
  }
  return k;
}

// Let one run speak for two that touch: the earlier one, so that numbers only fall.
static void join(run * runs, int32_t a, int32_t b)
{
  a = spokesman(runs, a);
  b = spokesman(runs, b);
  if (a == b) {
    return;
  }
  run * const kept = runs + (a < b ? a : b), * const gone = runs + (a < b ? b : a);
  gone->part = (int32_t)(kept - runs);
  kept->area += gone->area;
  kept->first_row = gone->first_row < kept->first_row ? gone->first_row : kept->first_row;
  kept->last_row = gone->last_row > kept->last_row ? gone->last_row : kept->last_row;
  kept->first_column =
    gone->first_column < kept->first_column ? gone->first_column : kept->first_column;
  kept->last_column =
    gone->last_column > kept->last_column ? gone->last_column : kept->last_column;
}

// Find the runs of a mask and join those that touch, at a corner too; return how many.
static int32_t find_runs(
  const float * mask, int rows, int columns, float threshold, run * runs)
{
  int32_t count = 0, above = 0;  // the first run of the row above that may still touch
  for (int y = 0; y < rows; ++y, mask += columns) {
    const int32_t begin = count;
    for (int x = 0; x < columns; ++x) {
      if (!(mask[x] > threshold)) {
        continue;
      }
      const int first = x;
      while (x + 1 < columns && mask[x + 1] > threshold) {
        ++x;
      }
      runs[count] = (run){y, first, x, count, x - first + 1, y, first, y, x};
      while (above < begin && runs[above].last < first - 1) {
        ++above;
      }
      for (int32_t k = above; k < begin && runs[k].first <= x + 1; ++k) {
        join(runs, k, count);
      }
      ++count;
    }
    above = begin;
  }
  return count;
}

// masks: [n, rows, columns], where parts smaller than min_part of the mask's largest are set below
// the threshold.  spans: [n, 4], set to the first row, first column, last row, last column of what
// is left above it; last row -1 where there is nothing.  scratch: [9 * rows * columns].
void vos_ros_sweep_masks(
  float * masks, int32_t n, int32_t rows, int32_t columns, float threshold, float min_part,
  int32_t * spans, int32_t * scratch)
{
  run * const runs = (run *)scratch;
  for (int i = 0; i < n; ++i) {
    float * const mask = masks + (size_t)i * rows * columns;
    const int32_t count = find_runs(mask, rows, columns, threshold, runs);
    int32_t largest = 0;
    for (int32_t k = 0; k < count; ++k) {
      if (runs[k].part == k && runs[k].area > largest) {
        largest = runs[k].area;
      }
    }
    const float least = min_part * (float)largest;
    int32_t * const span = spans + 4 * i;
    span[0] = rows;
    span[1] = columns;
    span[2] = span[3] = -1;
    for (int32_t k = 0; k < count; ++k) {
      const run one = runs[k], part = runs[spokesman(runs, k)];
      if ((float)part.area < least) {
        for (int x = one.first; x <= one.last; ++x) {
          mask[one.row * columns + x] = threshold - 1;
        }
        continue;
      }
      span[0] = part.first_row < span[0] ? part.first_row : span[0];
      span[1] = part.first_column < span[1] ? part.first_column : span[1];
      span[2] = part.last_row > span[2] ? part.last_row : span[2];
      span[3] = part.last_column > span[3] ? part.last_column : span[3];
    }
  }
}

// A square of pixels between four cells' centres, where it lies in a row, and an object that may be
// in it, with its logits at the centres: upper left, upper right and what is added below.
typedef struct
{
  int32_t begin, count, skipped, object;
  float left, right, left_rise, right_rise;
} meeting;

// Where a square lies in a row: pixels begin up to end, of which the first skipped are missing.
typedef struct
{
  int begin, end, skipped;
} stretch;

static inline stretch square(int column, int stride, int columns)
{
  const int start = column * stride + stride / 2, end = start + stride;
  const int begin = start < 0 ? 0 : start;
  return (stretch){begin, end < columns ? end : columns, begin - start};
}

// Say who may be in each square between two rows of cells.  sole: [cell_columns + 1], set to the
// object that has all of a square, 0 where none is, -1 where its pixels must be looked at; the
// first square lies left of the first centre.  meetings: set to objects in the latter, by object.
// Returns how many there are.
static int32_t meet(
  const float * logits, int32_t n, int32_t cell_rows, int32_t cell_columns, const int32_t * spans,
  float threshold, int32_t stride, int32_t columns, int first, int second, int32_t * sole,
  meeting * meetings)
{
  memset(sole, 0, (size_t)(cell_columns + 1) * sizeof(*sole));
  int32_t count = 0;
  // First who is where, then what there is to know of those that share a square or its border.
  for (int listing = 0; listing < 2; ++listing) {
    for (int k = 0; k < n; ++k) {
      const int32_t * const span = spans + 4 * k;
      if (span[2] < first || span[0] > second) {
        continue;
      }
      const float * const upper = logits + ((size_t)k * cell_rows + first) * cell_columns;
      const float * const lower = logits + ((size_t)k * cell_rows + second) * cell_columns;
      int left = span[1] > 0 ? span[1] - 1 : 0, right;
      int before = (upper[left] > threshold) + (lower[left] > threshold), after;
      for (int c = span[1] - 1; c <= span[3]; ++c, left = right, before = after) {
        right = c + 1 < cell_columns ? c + 1 : cell_columns - 1;
        after = (upper[right] > threshold) + (lower[right] > threshold);
        const int corners = before + after;
        if (!corners) {
          continue;
        }
        if (!listing) {
          sole[c + 1] = sole[c + 1] || corners < 4 ? -1 : k + 1;
        } else if (sole[c + 1] < 0) {
          const stretch here = square(c, stride, columns);
          if (here.begin < here.end) {
            meetings[count++] = (meeting){
              here.begin, here.end - here.begin, here.skipped, k + 1, upper[left], upper[right],
              lower[left] - upper[left], lower[right] - upper[right]};
          }
        }
      }
    }
  }
  return count;
}

// logits: [n, cell_rows, cell_columns], n below 65536.  spans: [n, 4], first row, first column,
// last row, last column of the cells above the threshold; last row -1 where there is none.
// ids: [n].
// A cell is stride pixels of a picture of [rows, columns] wide and high.  Its pixel (y, x) covers
// the frame's rows row_starts[y] up to row_starts[y + 1] and columns likewise, maybe none.
// shares: [stride], where pixels lie on the way from a cell's centre to the next one's.
// best, owner: [columns]; scratch: [(8 n + 1) (cell_columns + 1)]; all overwritten.
// Fills label_map: [row_starts[rows], column_starts[columns]] with the id of the highest logit
// above the threshold, 0 where none is; adds to areas: [n] and sets boxes: [n, 4] x1 y1 x2 y2,
// both zero before.
WIDE void vos_ros_paint_labels(
  const float * logits, int32_t n, int32_t cell_rows, int32_t cell_columns,
  const int32_t * spans, const uint16_t * ids, float threshold, int32_t stride,
  const float * shares, int32_t rows, int32_t columns, const int32_t * row_starts,
  const int32_t * column_starts, float * best, uint16_t * owner, int32_t * scratch,
  uint16_t * label_map, float * boxes, uint32_t * areas)
{
  const int32_t frame_columns = column_starts[columns];
  int32_t * const sole = scratch;
  meeting * const meetings = (meeting *)(scratch + cell_columns + 1);
  int32_t met = 0;
  int last_below = -1, touched_from = columns, touched_to = 0;
  for (int y = 0; y < rows; ++y) {
    // Cells' centres above and below this row of pixels; at the border the cell itself.
    const int below = (y + stride - stride / 2) / stride;
    const int above = below - 1;
    const float share = above < 0 ? 0.0f : shares[y - above * stride - stride / 2];
    if (below != last_below) {
      last_below = below;
      met = meet(
        logits, n, cell_rows, cell_columns, spans, threshold, stride, columns,
        above < 0 ? 0 : above, below < cell_rows ? below : cell_rows - 1, sole, meetings);
      touched_from = columns;
      touched_to = 0;
      memset(owner, 0, (size_t)columns * sizeof(*owner));
      for (int c = -1; c < cell_columns; ++c) {
        const stretch here = square(c, stride, columns);
        if (sole[c + 1] && here.begin < here.end) {
          touched_from = here.begin < touched_from ? here.begin : touched_from;
          touched_to = here.end;
          for (int x = here.begin; sole[c + 1] > 0 && x < here.end; ++x) {
            owner[x] = (uint16_t)sole[c + 1];
          }
        }
      }
    }

    const int32_t top = row_starts[y], bottom = row_starts[y + 1];
    if (top == bottom) {
      continue;
    }
    uint16_t * const line = label_map + (size_t)top * frame_columns;
    memset(line, 0, (size_t)frame_columns * sizeof(*line));
    for (int32_t m = 0; m < met; ++m) {
      const meeting * const one = meetings + m;
      for (int x = one->begin; x < one->begin + one->count; ++x) {
        best[x] = threshold;
        owner[x] = 0;
      }
    }
    for (int32_t m = 0; m < met; ++m) {
      const meeting * const one = meetings + m;
      compete(
        one->left + one->left_rise * share, one->right + one->right_rise * share,
        shares + one->skipped, one->count, (uint16_t)one->object, best + one->begin,
        owner + one->begin);
    }

    for (int x = touched_from, end; x < touched_to; x = end) {
      const int32_t object = owner[x];
      end = run_end(owner, x, touched_to);
      const int32_t from = column_starts[x], to = column_starts[end];
      if (!object || from == to) {
        continue;
      }
      const uint16_t id = ids[object - 1];
      for (int32_t column = from; column < to; ++column) {
        line[column] = id;
      }
      float * const box = boxes + 4 * (object - 1);
      uint32_t * const area = areas + (object - 1);
      if (!*area || from < box[0]) {
        box[0] = (float)from;
      }
      if (!*area) {
        box[1] = (float)top;
      }
      if (to > box[2]) {
        box[2] = (float)to;
      }
      box[3] = (float)bottom;
      *area += (uint32_t)(to - from) * (uint32_t)(bottom - top);
    }
    for (int32_t row = 1; row < bottom - top; ++row) {
      memcpy(line + (size_t)row * frame_columns, line, (size_t)frame_columns * sizeof(*line));
    }
  }
}
