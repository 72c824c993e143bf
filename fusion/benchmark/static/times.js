// The page on time and machine.
import { sortTables } from "./sort.js";

sortTables();
