package explain

import "teiten/internal/casedb"

// ruleUnknown is the rule whose text stands in for rules without one.
const ruleUnknown = "unknown"

// ruleTexts has a text for every rule of package attribution.
var ruleTexts = map[string]ruleText{
	"bogon": {
		text{"impossible source address", "あり得ない送信元アドレス"},
		text{"Packets cannot come from this address: it is a multicast, loopback or reserved one. The sender of the {packets} packets forged it.",
			"このアドレスはマルチキャスト、ループバックまたは予約済みのアドレスであり、パケットの送信元にはなり得ません。{packets} 個のパケットの送信元は詐称されたものです。"},
	},
	"broadcast": {
		text{"traffic of the sensor's own link", "センサーと同じリンク内の通信"},
		text{"The source sends to broadcast or multicast addresses, looks for its neighbours, or uses an address that is valid only on its own link ({hits} of {of} packets). This is traffic of a neighbour or of a misconfigured host, not a probe.",
			"ブロードキャストまたはマルチキャスト宛て、近隣の機器の探索、あるいはリンク内でのみ有効なアドレスからの通信です ({of} 個中 {hits} 個)。近隣の機器や設定の誤りによる通信であり、探索ではありません。"},
	},
	"spoofed-flood": {
		text{"forged source of a flood", "送信元を詐称したフラッド攻撃の一部"},
		text{"The source sent a packet or two ({ports}) while thousands of others sent the same to the same address within the hour. Such sources are forged; the host at this address most likely did nothing.",
			"同じ時間帯に数千の送信元が同じアドレスの {ports} へ 1、2 個ずつのパケットを送っています。このような送信元は詐称されたものであり、このアドレスの機器自体は関与していないと考えられます。"},
	},
	"acknowledged": {
		text{"acknowledged scanner", "調査目的スキャナー"},
		text{"The address belongs to {organisation} according to the list \"{list}\", in force when the packets came. It sent {packets} packets to {destinations} or more of our addresses ({ports}).",
			"パケットを受信した時点で有効なリスト「{list}」によると、このアドレスは {organisation} のものです。当方の {destinations} 以上のアドレスへ {packets} 個のパケットを送信しました ({ports})。"},
	},
	"slammer": {
		text{"SQL Slammer", "SQL Slammer"},
		text{"{hits} of {of} UDP packets to port 1434 are 384 bytes long and begin with 04 01 01 01: each is a whole copy of the SQL Slammer worm. Unrelated packets look like this with a probability of {chance}.",
			"1434/UDP 宛てのパケット {of} 個中 {hits} 個が長さ 384 バイトで 04 01 01 01 から始まっており、1 個が SQL Slammer ワームそのものです。無関係なパケットが偶然このようになる確率は {chance} です。"},
	},
	"mirai": {
		text{"Mirai family", "Mirai とその亜種"},
		text{"In {hits} of {of} TCP connection attempts ({ports}) the sequence number equals the address they were sent to, as in the scanner of Mirai and its variants. In unrelated packets this has a probability of {chance}. This is consistent with an infection by malware of the Mirai family.",
			"TCP の接続要求 {of} 個中 {hits} 個 ({ports}) で、シーケンス番号が宛先アドレスと一致しています。これは Mirai とその亜種の探索に特有のものです。偶然一致する確率は {chance} です。Mirai の系統のマルウエアに感染している可能性があります。"},
	},
	"mirai-hidden": {
		text{"Mirai family (destination hidden)", "Mirai とその亜種 (宛先が匿名化されたデータ)"},
		text{"The capture's destinations were rewritten. {hits} of {of} option-less TCP connection attempts ({ports}) carry a sequence number that other sources sent to the same address too, as with malware of the Mirai family, which uses the destination address as the number. By chance this has a probability of {chance}.",
			"宛先が匿名化されたデータです。オプションのない TCP の接続要求 {of} 個中 {hits} 個 ({ports}) のシーケンス番号が、同じアドレスへ送られたほかの送信元のものと一致しています。宛先アドレスをシーケンス番号に使う Mirai の系統の特徴です。偶然一致する確率は {chance} です。"},
	},
	"worm445": {
		text{"worm-like probes of 445/TCP", "445/TCP へのワーム様の探索"},
		text{"{hits} of {of} connection attempts to 445/TCP carry the header of Windows 7 or Server 2008, went to {destinations} or more of our addresses on {days} day(s), and none became a conversation. This is consistent with malware that spreads through SMB (MS17-010), but the header alone shows only the operating system.",
			"445/TCP への接続要求 {of} 個中 {hits} 個が Windows 7 または Server 2008 のヘッダーの特徴を持ち、{days} 日間に当方の {destinations} 以上のアドレスへ送られ、いずれも通信には至っていません。SMB (MS17-010) を通じて広がるマルウエアの動作と一致しますが、ヘッダーの特徴だけでは OS の種類を示すにとどまります。"},
	},
	"zmap": {
		text{"ZMap", "ZMap"},
		text{"{hits} of {of} packets ({ports}) carry the IP identification 54321, which ZMap up to version 4.0 writes. In unrelated packets this has a probability of {chance}.",
			"パケット {of} 個中 {hits} 個 ({ports}) の IP 識別子が、ZMap (4.0 まで) が用いる 54321 です。無関係なパケットが偶然このようになる確率は {chance} です。"},
	},
	"zmap-time": {
		text{"ZMap (time stamps)", "ZMap (タイムスタンプ)"},
		text{"In {hits} of {of} TCP connection attempts ({ports}) the TCP time stamp is the second of the day they were sent, as ZMap writes it. By chance this has a probability of {chance}.",
			"TCP の接続要求 {of} 個中 {hits} 個 ({ports}) の TCP タイムスタンプが送信時刻の秒と一致しており、ZMap の特徴です。偶然一致する確率は {chance} です。"},
	},
	"zmap-options": {
		text{"ZMap 4.1 or later (heuristic)", "ZMap 4.1 以降 (推定)"},
		text{"{hits} of {of} TCP connection attempts ({ports}) have the window, the missing don't-fragment bit and the option bytes of ZMap 4.1 or later, a combination that no common system sends.",
			"TCP の接続要求 {of} 個中 {hits} 個 ({ports}) のウィンドウサイズ、DF ビットの欠如、オプションの並びが ZMap 4.1 以降と一致しています。一般の OS はこの組み合わせを送りません。"},
	},
	"masscan": {
		text{"Masscan", "Masscan"},
		text{"In {hits} of {of} packets ({ports}) the IP identification follows from destination, port and sequence number (over UDP, from the number of the request) as Masscan computes it. In unrelated packets this has a probability of {chance}.",
			"パケット {of} 個中 {hits} 個 ({ports}) の IP 識別子が、宛先、ポート、シーケンス番号 (UDP では要求の番号) から Masscan の計算式どおりに求められます。偶然一致する確率は {chance} です。"},
	},
	"masscan-hidden": {
		text{"Masscan (destination hidden)", "Masscan (宛先が匿名化されたデータ)"},
		text{"The capture's destinations were rewritten. In {hits} of {of} packets ({ports}) identification, port and sequence number combine to the one value that several sources share for the same address, as Masscan's do. By chance this has a probability of {chance}.",
			"宛先が匿名化されたデータです。パケット {of} 個中 {hits} 個 ({ports}) の識別子、ポート、シーケンス番号の組み合わせが、同じアドレスに対して複数の送信元に共通する値となっており、Masscan の特徴です。偶然一致する確率は {chance} です。"},
	},
	"unicornscan": {
		text{"Unicornscan", "Unicornscan"},
		text{"In {hits} of {of} packets ({ports}) sequence number, destination and ports combine to one constant, as Unicornscan's do. By chance this has a probability of {chance}.",
			"パケット {of} 個中 {hits} 個 ({ports}) のシーケンス番号、宛先、ポートの組み合わせが一定の値になり、Unicornscan の特徴です。偶然一致する確率は {chance} です。"},
	},
	"nmap": {
		text{"Nmap", "Nmap"},
		text{"{hits} of {of} TCP packets ({ports}) have the few related sequence numbers, the small window and the single option of an Nmap SYN scan. By chance this has a probability of {chance}.",
			"TCP パケット {of} 個中 {hits} 個 ({ports}) が、関連する少数のシーケンス番号、小さなウィンドウサイズ、単一のオプションという Nmap の SYN スキャンの特徴を持っています。偶然一致する確率は {chance} です。"},
	},
	"angryip": {
		text{"Angry IP Scanner", "Angry IP Scanner"},
		text{"{hits} of {of} packets ({ports}) look like those of Angry IP Scanner: echo requests with 32 zero bytes, or TCP packets with window 32.",
			"パケット {of} 個中 {hits} 個 ({ports}) が、32 バイトのゼロを含むエコー要求、またはウィンドウサイズ 32 の TCP という Angry IP Scanner の特徴を持っています。"},
	},
	"hping3": {
		text{"hping3 (weak)", "hping3 (根拠は弱い)"},
		text{"{hits} of {of} TCP packets ({ports}) have window 512 and no options, as hping3 sends by default. Other programs may do so too.",
			"TCP パケット {of} 個中 {hits} 個 ({ports}) が、hping3 の既定値であるウィンドウサイズ 512、オプションなしです。ほかのプログラムの可能性もあります。"},
	},
	"synackscan": {
		text{"scan with SYN/ACK packets", "SYN/ACK パケットによるスキャン"},
		text{"{hits} of {of} packets are SYN/ACKs that all go to {ports} from many high ports: a scan. Backscatter would come from one service port and go to many.",
			"パケット {of} 個中 {hits} 個が、多数の上位ポートから {ports} へ送られた SYN/ACK です。跳ね返りパケットであれば一つのサービスポートから多数のポートへ送られるため、これはスキャンです。"},
	},
	"reflection": {
		text{"victim of a reflection attack", "リフレクション攻撃の被害ホスト"},
		text{"{hits} of {of} queries ({ports}) repeat the same bytes and ask for answers much larger than themselves. The sender of such queries forges the address of the host that the answers are meant to hit: the source is the victim, not the sender.",
			"問い合わせ {of} 個中 {hits} 個 ({ports}) が同じ内容の繰り返しで、問い合わせよりはるかに大きな応答を求めるものです。このような問い合わせの送信元は攻撃対象のアドレスに詐称されているため、このアドレスは送信者ではなく被害ホストです。"},
	},
	"backscatter": {
		text{"backscatter", "跳ね返りパケット"},
		text{"{hits} of {of} packets answer packets that we never sent ({ports}). This host is sent packets with forged source addresses, some of them ours: it is likely under a denial-of-service attack.",
			"パケット {of} 個中 {hits} 個が、当方が送っていないパケットへの応答です ({ports})。このホストへ、送信元を当方のアドレスなどに詐称したパケットが送られており、DoS 攻撃を受けている可能性があります。"},
	},
	"tsubame": {
		text{"scanner by TSUBAME's definition", "TSUBAME の定義によるスキャナー"},
		text{"The source sent to {hits} ports within one day ({ports}); TSUBAME's definition calls a source a scanner from ten ports on. No tool could be identified.",
			"1 日のうちに {hits} 個のポート ({ports}) へ送信しています。TSUBAME の定義では 10 個以上でスキャナーとします。ツールは特定できません。"},
	},
	"durumeric": {
		text{"scanner by number of addresses", "宛先数によるスキャナー"},
		text{"The source sent to {destinations} or more of our addresses ({ports}); Durumeric et al. (2014) call a source a scanner from a hundred addresses on. No tool could be identified.",
			"当方の {destinations} 以上のアドレスへ送信しています ({ports})。Durumeric ら (2014) は 100 以上をスキャナーとしています。ツールは特定できません。"},
	},
	"persistent": {
		text{"one port of one address, for days", "同じアドレスの同じポートへの数日にわたる通信"},
		text{"For {days} days the source has sent to one port of one of our addresses ({ports}) and to nothing else. This looks like a host that was configured with a wrong address.",
			"{days} 日間にわたり、当方の一つのアドレスの同じポート ({ports}) だけに送信しています。宛先の設定を誤ったホストと考えられます。"},
	},
	"stealth": {
		text{"scan with impossible TCP flags", "あり得ない TCP フラグによるスキャン"},
		text{"{hits} of {of} packets ({ports}) are TCP without any flag, or with FIN, PSH and URG only. No operating system sends these by itself; port scanners send them to get past filters. No tool could be identified.",
			"パケット {of} 個中 {hits} 個 ({ports}) が、フラグのない TCP、または FIN、PSH、URG のみの TCP です。通常の OS がこれらを送ることはなく、フィルターを避けるスキャンに使われます。ツールは特定できません。"},
	},
	"protocols": {
		text{"scan of IP protocols", "IP プロトコルのスキャン"},
		text{"The source asked for {hits} different IP protocols (definition: {definition}). No tool could be identified.",
			"{hits} 種類の IP プロトコルへ送信しています (定義: {definition})。ツールは特定できません。"},
	},
	"block": {
		text{"scanner of several ports at many addresses", "多数の宛先の複数ポートへのスキャナー"},
		text{"{hits} of {of} packets ({ports}) went to several ports, each at many of our addresses (definition: {definition}). No tool could be identified.",
			"パケット {of} 個中 {hits} 個が、当方の多数のアドレスの複数のポート ({ports}) へ送られています (定義: {definition})。ツールは特定できません。"},
	},
	ruleUnknown: {
		text{"unknown", "不明"},
		text{"The {packets} packets ({ports}) match none of the rules: nothing more can be said about the source.",
			"{packets} 個のパケット ({ports}) は、どのルールにも当てはまりません。この送信元についてこれ以上のことは分かりません。"},
	},
}

// noteTexts has a sentence for every note of package attribution.
var noteTexts = map[string]text{
	"listed": {"The address is on a list of scanners, but this is not scanning.",
		"このアドレスはスキャナーのリストにありますが、この通信はスキャンではありません。"},
	"conflict":    {"Other lists name another organisation for it.", "ほかのリストでは別の組織とされています。"},
	"one-packet":  {"The verdict rests on one packet only.", "1 個のパケットだけに基づく判定です。"},
	"few-packets": {"Too few packets match to notify the owner on this verdict alone.", "一致するパケットが少ないため、この判定だけでは通知しません。"},
	"assumed-chance": {"The probability rests on an assumed share among unrelated hosts.",
		"この確率は、無関係なホストに占める割合の想定値に基づきます。"},
	"mixed":        {"Much of what the source sends does not match.", "この送信元の通信の多くは当てはまりません。"},
	"many-ports":   {"It probes many other ports as well.", "ほかにも多くのポートを探索しています。"},
	"repeated":     {"Only one of our addresses was reached, but on several days.", "到達したのは一つのアドレスだけですが、複数の日に及びます。"},
	"company":      {"Only one address is observed there, but several other sources sent the same to it.", "観測しているのは一つのアドレスだけですが、ほかにも複数の送信元から同じ通信がありました。"},
	"conversation": {"The capture shows conversations of the source.", "この送信元の成立した通信も観測されています。"},
	"peer-to-peer": {"Many high UDP ports, each at its own destination, look like a peer-to-peer client.",
		"宛先ごとに異なる多数の上位 UDP ポートへの通信は、P2P クライアントの特徴です。"},
	"flood-like":    {"Many packets go to one port of one address, like a flood.", "一つのアドレスの一つのポートへ大量のパケットが送られており、フラッド攻撃に似ています。"},
	"many-services": {"It answers from many ports, so it may have been scanned rather than attacked.", "多数のポートから応答しているため、攻撃ではなくスキャンを受けた可能性があります。"},
	"attack":        {"Number, duration and rate reach the thresholds of an attack (Moore et al.).", "パケット数、継続時間、頻度が攻撃の基準 (Moore ら) に達しています。"},
	"fixed-sequence": {"{sequence} of {sequence_of} answers are to the same TCP sequence number as the first ones, although they went to other addresses or ports: the attack's packets carry a fixed number, as those of some attack tools do.",
		"応答 {sequence_of} 個中 {sequence} 個が、宛先やポートが異なるにもかかわらず、最初の応答と同じ TCP シーケンス番号に対するものです。一部の攻撃ツールに見られる、シーケンス番号を固定した攻撃です。"},
	"fixed-window": {"{window} of {window_of} answers have the same TCP window. The window is the victim's own, so this shows only that the packets of the attack were alike.",
		"応答 {window_of} 個中 {window} 個のウィンドウサイズが同じです。ウィンドウサイズは被害ホスト自身の値であり、攻撃パケットが互いに似ていることを示すにとどまります。"},
	"reflected-flood": {"It is one of many sources that answer to one of our addresses: a reflected flood.", "当方の一つのアドレスへ応答する多数の送信元の一つであり、リフレクション攻撃の一部です。"},
	"quote-other":     {"Its ICMP errors do not quote packets of ours.", "ICMP エラーが引用するパケットは当方のアドレスのものではありません。"},
	"rate-unknown":    {"The rate over the whole Internet cannot be estimated, as the number of monitored addresses is not known.", "観測しているアドレス数が不明なため、インターネット全体での頻度は推定できません。"},
	"neighbour":       {"It comes from the sensor's own network.", "センサーと同じネットワークからの通信です。"},
	"horizontal":      {"Few ports of many addresses were asked for (a horizontal scan).", "多数のアドレスの少数のポートを探索しています (水平スキャン)。"},
	"vertical":        {"Many ports of few addresses were asked for (a vertical scan).", "少数のアドレスの多数のポートを探索しています (垂直スキャン)。"},
	"block":           {"Several ports of several addresses were asked for (a block scan).", "複数のアドレスの複数のポートを探索しています (ブロックスキャン)。"},
	"rejudged":        {"The verdict comes from judging stored observations again, not from new packets.", "新しいパケットではなく、保存済みの観測を再判定した結果です。"},
	"ics":             {"Among the ports are those of industrial control systems.", "産業用制御システムで使われるポートが含まれています。"},
	"rest":            {"It used more ports than are counted separately.", "区別して数える上限を超えるポートが使われています。"},
}

// listTexts name the lists that the program keeps.
var listTexts = map[string]text{
	casedb.ListRegistration: {"registrations", "登録申請"},
	casedb.ListManual:       {"entries by hand", "手動登録"},
}

// attentionTexts explain why a coordinator must look.
var attentionTexts = map[string]text{
	"malware": {"Attention: the source is an acknowledged scanner, but its packets match \"{rule}\". Being on the list is no proof that it is not infected; ask the organisation.",
		"注意: 調査目的スキャナーとして登録されていますが、パケットは「{rule}」に一致します。リストに載っていることは、感染していないことの証明にはなりません。組織に確認してください。"},
	"undeclared-ports": {"Attention: the source is an acknowledged scanner, but it probes ports that its operator has not declared. Ask the organisation whether the declaration is out of date or the host is doing something else.",
		"注意: 調査目的スキャナーとして登録されていますが、届け出のないポートを探索しています。届け出の内容が古いのか、別の動作をしているのか、組織に確認してください。"},
}

// undeclaredText says what an acknowledged scanner sent to ports that it has
// not declared; undeclaredMore that there were more ports than it names.
var undeclaredText = text{"{packets} of {of} probes went to ports that are not declared: {ports}. Declared are {declared}.",
	"探索のパケット {of} 個中 {packets} 個が、届け出のないポート ({ports}) 宛てです。届け出のあるポートは {declared} です。"}

var undeclaredMore = text{" and {more} more", " ほか {more} 個"}

var alsoText = text{"Also found: {also}.", "ほかに次の特徴も見られます: {also}。"}

var payloadText = text{"What it sent first: {payloads}.", "最初に送られた内容: {payloads}。"}

var confidenceTexts = [...]text{
	{"certain", "確実"}, {"likely", "可能性が高い"}, {"possible", "可能性あり"}, {"unclear", "不明確"},
}
