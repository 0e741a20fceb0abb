// Types for the npm copy of @std (deno-std ships none). Deno lists this file in compilerOptions.types,
// tsc finds it through include. With JSR's own packages it is not needed.
declare module "@std/cli/parse-args" {
  type Names = string | readonly string[];
  type One<T> = T extends readonly (infer U)[] ? U & string : T & string;
  export interface ParseOptions<
    B extends Names = [],
    S extends Names = [],
    C extends Names = [],
    N extends Names = [],
  > {
    string?: S;
    boolean?: boolean | B;
    collect?: C;
    negatable?: N;
    alias?: Record<string, Names>;
    default?: Record<string, unknown>;
    stopEarly?: boolean;
    "--"?: boolean;
    unknown?: (arg: string, key?: string, value?: unknown) => unknown;
  }
  export type Args<
    B extends Names = [],
    S extends Names = [],
    C extends Names = [],
  > =
    & { [K in One<B>]: boolean }
    & { [K in Exclude<One<S>, One<C>>]?: string }
    & { [K in Extract<One<S>, One<C>>]: string[] }
    & { _: (string | number)[]; "--"?: string[] }
    & { [key: string]: unknown };
  export function parseArgs<
    const B extends Names = [],
    const S extends Names = [],
    const C extends Names = [],
    const N extends Names = [],
  >(
    args: readonly string[],
    options?: ParseOptions<B, S, C, N>,
  ): Args<B, S, C>;
}
declare module "@std/fmt/colors" {
  type Style = (str: string) => string;
  export const bold: Style,
    dim: Style,
    red: Style,
    green: Style,
    yellow: Style,
    blue: Style,
    cyan: Style,
    gray: Style;
  export function stripAnsiCode(s: string): string;
  export function setColorEnabled(v: boolean): void;
  export function getColorEnabled(): boolean;
}
