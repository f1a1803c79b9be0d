// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { core, headers, vectors, WARNINGS } from './xlat.ts'

const paths = (process.env.PATH ?? '').split(delimiter)
const versions = ['', ...Array.from({ length: 12 }, (_, i) => `-${i + 14}`)]
const clang = versions.map((v) => `clang${v}`).find((name) => paths.some((path) => existsSync(join(path, name))))

/** The few types that kernel code has instead of the C library's. */
const KERNEL_TYPES = `#pragma GCC system_header
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
typedef signed char int8_t;
typedef int int32_t;
typedef _Bool bool;
#define true 1
#define false 0
`

let scratch = ''

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'sixgate-xlat-'))
  mkdirSync(join(scratch, 'linux'))
  writeFileSync(join(scratch, 'linux/types.h'), KERNEL_TYPES)
  writeFileSync(
    join(scratch, 'linux/stddef.h'),
    '#pragma GCC system_header\n#define NULL ((void *)0)\n#define offsetof(t, m) __builtin_offsetof(t, m)\n',
  )
})
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

const languages = [
  { as: 'C11 by gcc', compiler: 'gcc', flags: ['-x', 'c', '-std=c11', '-Wstrict-prototypes', '-Wmissing-prototypes'] },
  { as: 'C++20 by g++', compiler: 'g++', flags: ['-x', 'c++', '-std=c++20'] },
  {
    as: 'BPF by clang',
    compiler: clang ?? 'clang',
    flags: ['-x', 'c', '-std=c11', '-ffreestanding', '-target', 'bpf', '-mcpu=v3'],
  },
  {
    as: 'C11 by clang, every warning on',
    compiler: clang ?? 'clang',
    flags: [
      '-x',
      'c',
      '-std=c11',
      '-ffreestanding',
      '-Weverything',
      '-Wno-padded',
      '-Wno-declaration-after-statement',
    ].concat([
      '-Wno-switch-enum',
      '-Wno-covered-switch-default',
      '-Wno-unsafe-buffer-usage',
      '-Wno-unknown-warning-option',
    ]),
  },
  {
    as: 'kernel code by gcc',
    compiler: 'gcc',
    flags: ['-x', 'c', '-std=gnu11', '-D__KERNEL__', '-nostdinc', '-ffreestanding', '-Wdeclaration-after-statement'],
  },
]

describe.each(languages)('the translation core as $as', ({ compiler, flags }) => {
  const warn = [...WARNINGS, '-Wno-unused-function', '-Wno-unused-macros']
  const compile = (...more: string[]) => {
    const include = flags.includes('-nostdinc') ? ['-I', scratch] : []
    const done = spawnSync(compiler, [...flags, ...warn, ...include, '-I', core, '-O2', ...more], { encoding: 'utf8' })
    return done.error ? `${compiler}: ${done.error.message}` : done.stderr
  }

  it('compiles each header alone without a warning', () => {
    expect(compile('-fsyntax-only', ...headers.map((name) => join(core, name)))).toBe('')
  })

  it('needs no function from outside', () => {
    const object = join(scratch, 'core.o')
    expect(compile('-c', join(vectors, 'headers.c'), '-o', object)).toBe('')
    const undefinedSymbols = execFileSync('nm', ['-u', object], { encoding: 'utf8' })
    expect(undefinedSymbols.replace(/\s*U (_GLOBAL_OFFSET_TABLE_|memset)\n?/g, '')).toBe('')
  })
})
