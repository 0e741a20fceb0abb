/**
 * What the system says about files, for a person who can mend it.
 * @module
 */

/** What went wrong, in words, for the errors of files that a person can mend; undefined for any other error. */
export function systemReason(error: unknown): string | undefined {
  // Deno's own guard, which has a name and no code.
  if (error instanceof Error && error.name === "NotCapable") {
    return "Deno was started without the permission for it";
  }
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  switch (error.code) {
    case "ENOENT":
      return "it does not exist";
    case "EEXIST":
      return "it exists already";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "EISDIR":
      return "it is a folder";
    case "ENOTDIR":
      return "a part of the path is not a folder";
    case "EROFS":
      return "the file system is read-only";
    case "ENOSPC":
      return "the disk is full";
    case "ENAMETOOLONG":
      return "the name is too long";
    case "ELOOP":
      return "too many symbolic links";
    default:
      return undefined;
  }
}
