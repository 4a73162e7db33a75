package bench

// suspectWin is the ratio above which a win is not believed before it is explained.
const suspectWin = 5

// explanationTable says where wins above suspectWin come from, by the comparison's name. Each was looked
// into: the profiles of both sides, the counters of what was lost, and the plugin that the peer chose.
var explanationTable = map[string]string{}
