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
typedef float floats __attribute__((vector_size(EIGHT * sizeof(float))));
typedef int32_t numbers __attribute__((vector_size(EIGHT * sizeof(int32_t))));

// Give the pixels between two cells of a row to an object where it is the highest so far.
static inline void compete(
  float left, float right, const float * shares, int count, int32_t object, float * best,
  int32_t * owner)
{
  const float rise = right - left;
  if (count == EIGHT) {  // the usual stride
    floats value, highest;
    numbers holder;
    memcpy(&value, shares, sizeof(value));
    memcpy(&highest, best, sizeof(highest));
    memcpy(&holder, owner, sizeof(holder));
    value = left + rise * value;
    const numbers wins = value > highest;
    holder = (wins & object) | (~wins & holder);
    highest = (floats)((wins & (numbers)value) | (~wins & (numbers)highest));
    memcpy(best, &highest, sizeof(highest));
    memcpy(owner, &holder, sizeof(holder));
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
static inline int run_end(const int32_t * owner, int begin, int limit)
{
  const int32_t object = owner[begin];
  int end = begin + 1;
  for (; end + EIGHT <= limit; end += EIGHT) {
    int32_t other = 0;
    for (int i = 0; i < EIGHT; ++i) {
      other |= owner[end + i] ^ object;
    }
    if (other) {
      break;
    }
  }
  while (end < limit && owner[end] == object) {
    ++end;
  }
  return end;
}

static inline float between(const float * above, const float * below, int column, float share)
{
  return above[column] + (below[column] - above[column]) * share;
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

// logits: [n, cell_rows, cell_columns].  spans: [n, 4], first row, first column, last row, last
// column of the cells above the threshold; last row -1 where there is none.  ids: [n].
// A cell is stride pixels of a picture of [rows, columns] wide and high.  Its pixel (y, x) covers
// the frame's rows row_starts[y] up to row_starts[y + 1] and columns likewise, maybe none.
// shares: [stride], where pixels lie on the way from a cell's centre to the next one's.
// best, owner: [columns], overwritten.
// Fills label_map: [row_starts[rows], column_starts[columns]] with the id of the highest logit
// above the threshold, 0 where none is; adds to areas: [n] and sets boxes: [n, 4] x1 y1 x2 y2,
// both zero before.
WIDE void vos_ros_paint_labels(
  const float * logits, int32_t n, int32_t cell_rows, int32_t cell_columns,
  const int32_t * spans, const uint16_t * ids, float threshold, int32_t stride,
  const float * shares, int32_t rows, int32_t columns, const int32_t * row_starts,
  const int32_t * column_starts, float * best, int32_t * owner, uint16_t * label_map,
  float * boxes, uint32_t * areas)
{
  const int32_t frame_columns = column_starts[columns];
  for (int y = 0; y < rows; ++y) {
    const int32_t top = row_starts[y], bottom = row_starts[y + 1];
    if (top == bottom) {
      continue;
    }
    uint16_t * const line = label_map + (size_t)top * frame_columns;
    memset(line, 0, (size_t)frame_columns * sizeof(*line));
    // Cells' centres above and below this row of pixels; at the border the cell itself.
    const int below = (y + stride - stride / 2) / stride;
    const int above = below - 1;
    const float share = above < 0 ? 0.0f : shares[y - above * stride - stride / 2];
    const int first = above < 0 ? 0 : above;
    const int second = below < cell_rows ? below : cell_rows - 1;

    // Between cells that are not above the threshold no pixel is.
    int touched_from = columns, touched_to = 0;
    for (int k = 0; k < n; ++k) {
      const int32_t * const span = spans + 4 * k;
      if (span[2] >= first && span[0] <= second) {
        const int from = (span[1] - 1) * stride + stride / 2;
        const int to = (span[3] + 1) * stride + stride / 2;
        touched_from = from < touched_from ? from : touched_from;
        touched_to = to > touched_to ? to : touched_to;
      }
    }
    touched_from = touched_from < 0 ? 0 : touched_from;
    touched_to = touched_to > columns ? columns : touched_to;
    for (int x = touched_from; x < touched_to; ++x) {
      best[x] = threshold;
      owner[x] = 0;
    }

    for (int k = 0; k < n; ++k) {
      const int32_t * const span = spans + 4 * k;
      if (span[2] < first || span[0] > second) {
        continue;
      }
      const float * const upper = logits + ((size_t)k * cell_rows + first) * cell_columns;
      const float * const lower = logits + ((size_t)k * cell_rows + second) * cell_columns;
      const int from = span[1] - 1;
      float left = between(upper, lower, from < 0 ? 0 : from, share);
      for (int c = from; c <= span[3]; ++c) {
        const float right =
          between(upper, lower, c + 1 < cell_columns ? c + 1 : cell_columns - 1, share);
        if (left > threshold || right > threshold) {
          const int start = c * stride + stride / 2;
          const int begin = start < 0 ? 0 : start;
          const int end = start + stride < columns ? start + stride : columns;
          compete(
            left, right, shares + (begin - start), end - begin, k + 1, best + begin,
            owner + begin);
        }
        left = right;
      }
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
