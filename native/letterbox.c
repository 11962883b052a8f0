// Copyright 2026 vos_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// The loops over the pixels of a frame of vos_ros/runtime/letterbox.py and of its small picture in
// vos_ros/tracking/scene.py, which say what they are for.  OpenCV scales in a pass over the frame
// and swaps channels in another one over the picture; here a row is finished while it is in the
// nearest cache.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wide.h"

// Two pixels of three channels and one to spare, and what is loaded for them.
typedef uint16_t pair __attribute__((vector_size(16)));
typedef uint64_t halves __attribute__((vector_size(16)));
typedef uint8_t bytes __attribute__((vector_size(8)));

static inline uint64_t load(const uint16_t * line)
{
  uint64_t value;
  memcpy(&value, line, sizeof(value));
  return value;
}

// Blend two pixels of a row with those to the right of them.
static inline bytes blend(
  const uint16_t * line, const int32_t * at, const uint16_t * shares, int reverse)
{
  pair right_share;
  memcpy(&right_share, shares, sizeof(right_share));
  const pair left = (pair)(halves){load(line + at[0]), load(line + at[1])};
  const pair right = (pair)(halves){load(line + at[0] + 3), load(line + at[1] + 3)};
  pair value = (left * (256 - right_share) + right * right_share + 128) >> 8;
  if (reverse) {
#if defined(__clang__)
    value = __builtin_shufflevector(value, value, 2, 1, 0, 3, 6, 5, 4, 7);
#else
    value = __builtin_shuffle(value, (pair){2, 1, 0, 3, 6, 5, 4, 7});
#endif
  }
  return __builtin_convertvector(value, bytes);
}

// Scale a frame of three channels to rows x columns, columns even, by linear interpolation.
// frame: rows lie frame_step bytes apart, frame_bytes of each are read.  content: rows lie
// content_step bytes apart.  row_at, row_shares: [rows], the upper of the two rows of the frame and
// the share of the lower one, of 256; the last row of the frame is no upper one.  column_at:
// [columns], three times the left column; column_shares: [columns, 4], one share four times.
// reverse: whether the order of the channels is.  line: [frame_bytes + 8], overwritten.
WIDE void vos_ros_scale(
  const uint8_t * frame, int64_t frame_step, int32_t frame_bytes, int32_t rows, int32_t columns,
  const int32_t * row_at, const uint16_t * row_shares, const int32_t * column_at,
  const uint16_t * column_shares, int32_t reverse, uint16_t * line, uint8_t * content,
  int64_t content_step)
{
  for (int y = 0; y < rows; ++y) {
    const uint8_t * const upper = frame + row_at[y] * frame_step, * const lower = upper + frame_step;
    const uint16_t low = row_shares[y], high = (uint16_t)(256 - low);
    for (int i = 0; i < frame_bytes; ++i) {
      line[i] = (uint16_t)(upper[i] * high + lower[i] * low + 128) >> 8;
    }
    uint8_t * out = content + y * content_step;
    int x = 0;
    for (; x + 2 < columns; x += 2, out += 6) {
      const bytes two = blend(line, column_at + x, column_shares + 4 * x, reverse);
      memcpy(out, &two, 4);
      memcpy(out + 3, (const uint8_t *)&two + 4, 4);
    }
    // After the last pixel there is no byte to spare.
    const bytes two = blend(line, column_at + x, column_shares + 4 * x, reverse);
    memcpy(out, &two, 3);
    memcpy(out + 3, (const uint8_t *)&two + 4, 3);
  }
}

// Sum up the channels of each stride-th pixel of each stride-th row of a picture of three channels,
// less the mean of these sums, and compare them with those of the picture before.
// picture: rows lie step bytes apart; the first pixel taken is in the middle of the first stride.  sample: [rows, columns] of the pixels taken, overwritten.
// before: as sample.  energy: set to the sum of the squares.  Returns the sum of the products.
float vos_ros_compare(
  const uint8_t * picture, int64_t step, int32_t stride, int32_t rows, int32_t columns,
  const float * before, float * sample, float * energy)
{
  const int count = rows * columns;
  int64_t total = 0;
  for (int y = 0; y < rows; ++y) {
    const uint8_t * const row = picture + (y * stride + stride / 2) * step;
    for (int x = 0; x < columns; ++x) {
      const uint8_t * const pixel = row + 3 * (x * stride + stride / 2);
      const int sum = pixel[0] + pixel[1] + pixel[2];
      sample[y * columns + x] = (float)sum;
      total += sum;
    }
  }
  const float mean = count ? (float)total / (float)count : 0.0f;
  double squares = 0.0, products = 0.0;
  for (int i = 0; i < count; ++i) {
    sample[i] -= mean;
    squares += (double)sample[i] * sample[i];
    products += (double)sample[i] * before[i];
  }
  *energy = (float)squares;
  return (float)products;
}
