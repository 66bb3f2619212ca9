"use strict";
// Only a window that a script opened may be closed by one. If this is not such a window, the text says what to do.
setTimeout(() => window.close(), 1500);
