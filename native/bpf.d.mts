// SPDX-License-Identifier: Apache-2.0
export function compileBpf(source: string, name: string, flags?: readonly string[]): Promise<string>
export function buildPrograms(): Promise<string>
