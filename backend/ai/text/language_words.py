"""Function words of languages: articles, prepositions, conjunctions, pronouns, auxiliary verbs.

They identify the language of a text, and they are left out of searches in that language.
"""

# ruff: noqa: RUF001 - non-Latin letters are intended
from typing import Final

# By ISO 639-1 code. English stop words of searches are in `terms`.
FUNCTION_WORDS: Final = {
    "en": "a about after all also an and any are as at be because been before between but by can"
    " could did do does during each for from had has have he her him his how i if in into is it"
    " its may me more most my no not of on only or other our out over she should so some such than"
    " that the their them then there these they this those to under up us was we were what when"
    " where which while who whom whose why will with without would you your",
    "de": "aber alle allem allen aller alles als also am an auch auf aus bei beim bin bis bist da"
    " damit dann das dass dein deine dem den denn der des dessen dich die dies diese diesem diesen"
    " dieser dieses dir doch dort du durch ein eine einem einen einer eines er es etwas euch euer"
    " für gegen gibt hab habe haben hat hatte hatten hier ich ihm ihn ihnen ihr ihre ihrem ihren"
    " ihrer im in ins ist jede jedem jeden jeder jedes kann kein keine keinen können man mein"
    " meine meinem meinen meiner mich mir mit muss müssen nach nicht noch nur ob oder ohne sein"
    " seine seinem seinen seiner seit sich sie sind so soll sollen sollte sondern sowie über um"
    " und uns unser unsere unter viel viele vom von vor wann war waren warum was weil welche"
    " welchem welchen welcher welches weshalb wenn wer werden heißt lautet bedeutet wessen wem wen"
    " wie wieso wieviel wir wird wobei wodurch wofür wogegen womit woran worauf worin worüber"
    " wovon wozu wo woher wohin worden wurde wurden während wegen zu zum zur zwischen darf dürfen"
    " laut bzw",
    "es": "a al algo alguna algunas alguno algunos ante antes aquí así aunque bajo cada como con"
    " contra cual cuál cuáles cualquier cuando cuándo cuanto cuánta cuántas cuánto cuántos de del"
    " desde después donde dónde durante e el él ella ellas ellos en entre era eran es esa esas ese"
    " eso esos esta está están estas este esto estos fue fueron ha han hasta hay la las le les lo"
    " los más me mi mis muy ni no nos nosotros nuestra nuestras nuestro nuestros o os otra otras"
    " otro otros para pero por porque puede pueden que qué quien quién quiénes se según ser si sí"
    " sin sobre son su sus también tanto te tiene tienen todo todos tu tus un una unas uno unos"
    " usted ustedes y ya yo debe deben hace cuyo cuya",
    "fr": "à afin ai ainsi alors après au aucun aucune aussi autre autres aux avait avant avec"
    " avez avons bien c car ce ceci cela celle celui ces cet cette chaque chez comme comment"
    " combien d dans de depuis des deux doit donc dont du elle elles en encore entre est et était"
    " étaient être eu eux fait font il ils j je jusqu l la le les leur leurs lorsque lui m ma mais"
    " me même mes moi mon n ne ni nos notre nous on ont ou où par parce pas pendant peu peut"
    " peuvent plus plusieurs pour pourquoi puis qu quand que quel quelle quelles quels qui quoi s"
    " sa sans se selon sera ses si son sont sous sur ta tes ton tous tout toute toutes très tu un"
    " une vers voici vos votre vous y",
    "it": "a abbiamo agli ai al alcuni alla alle allo altro anche anni avere c che chi ci ciascuno"
    " come con contro cosa così cui d da dai dal dalla dalle dallo degli dei del dell della delle"
    " dello deve devono di dopo dove due e è ed era erano essere fa fino fra gli ha hanno ho i il"
    " in io l la le lei lo loro lui ma mi mia mie miei mio ne negli nei nel nell nella nelle nello"
    " noi non nostra nostre nostri nostro o ogni per perché più prima può possono qual quale quali"
    " quando quanta quante quanti quanto quella quelle quelli quello questa queste questi questo"
    " quindi s sarà se sei senza si sia sono sotto su sua sue sugli sui sul sull sulla sulle suo"
    " suoi tra tu tutti tutto un una uno voi vostra vostro",
    "pt": "a à ao aos as às até cada com como da das de dela dele depois desde do dos durante e é"
    " ela elas ele eles em entre era eram essa essas esse esses esta está estão estas este estes"
    " eu foi foram há isso isto já lhe mais mas me mesmo meu minha muito na nas não nem no nos nós"
    " nossa nosso num numa o onde os ou para pela pelas pelo pelos pode podem por porque porquê"
    " qual quais quando quanta quantas quanto quantos que quem se sem ser será seu seus só sob"
    " sobre são sua suas também tem têm todos um uma umas uns você vocês deve devem",
    "nl": "aan af al alle als ben bij bijvoorbeeld bent dan dat de der deze die dit doen door dus"
    " een en er geen had hadden heb hebben heeft hen het hij hoe hoeveel hun ik in is je jij jou"
    " jullie kan kunnen maar me meer men met mijn moet moeten na naar niet nog nu of om omdat"
    " onder ons onze ook op over te tegen tijdens toch toen tot u uit uw van veel voor waar waarom"
    " wanneer waren was wat we wel welk welke werd werden wie wij worden wordt zal ze zich zij"
    " zijn zo zonder zou tussen mag elke",
    "ro": "l i s m n v c d într dintr a acea aceasta această aceste acestea acest acestei acestor"
    " acestui acești ai aici al ale alt alta alte am are ar asta astfel așa atunci au avea aveți"
    " ca că când câți câte cât câtă care cărei cărui ce cea cei cel cele celor cine cu cum cui da"
    " dacă dar de deci decât deoarece despre din după e ea ei el ele era erau este eu fără fi fie"
    " fiecare fost iar îi îl îmi în între își îți la le li lor lui mai mă mea mei mele meu mi mult"
    " multe mulți ne nici nimic noastră noastre nostru noștri noi nu o ori orice pe pentru peste"
    " până poate pot prin sa să sale sau se sunt său săi spre sub și te tot toate toți trebuie tu"
    " un una unde unei unele unui unor va vă vor voi vom către unul",
    "tr": "acaba altında ama ancak arasında artık bana bazı ben beni benim bir biri biz bize bizim"
    " bu buna bunu bunun burada böyle çok çünkü da daha de değil diye dolayı en fakat gibi göre"
    " hangi hangisi hem hep hepsi her hiç için içinde ile ilgili ise kaç kaçta kadar karşı kendi"
    " ki kim kime kimdir kimin kimler mi mı mu mü nasıl ne neden nedir nelerdir nerede nereden"
    " nereye neler neleri nesi neyi neyle kimi kimden niçin niye o olan olarak oldu olduğu olmak"
    " olur ona onlar onların onu onun orada önce sadece sana sen siz sizin sonra şey şu tarafından"
    " tüm üzere üzerinde var vardır veya ve ya yani yapılır yok zaman hakkında itibaren rağmen",
    "vi": "ai anh bao bạn bằng bị bởi các cái cần cho chỉ chưa chúng có còn cùng của cũng đã đang"
    " đâu để đến đều đi điều do đó được em gì giữa hãy hay hơn họ khi không là làm lại lúc mà mỗi"
    " một nào này năm nên nếu ngày người như nhưng những nhiêu nhiều ở phải qua ra rất rồi sao sau"
    " sẽ sự tại tất tôi thế theo thì trên trong trước từ và vào vẫn về vì việc với vậy khoảng",
    "sv": "alla andra än är att av både bara blev bli blir då de dem den denna deras dess detta"
    " dig din dina du där efter eller en ett fick får för från genom ha hade han har hans hennes"
    " hon hos hur i in inga ingen inte jag kan kommer kunde man med mellan men mig min mina mot"
    " mycket när nu någon något och om på sedan sig sin sina ska skulle så som till under upp ut"
    " utan vad var vara vars varför vem vi vid vilka vilken vilket vår åt över måste många",
    "da": "af alle anden at blev bliver da de dem den denne der deres det dette dig din du efter"
    " eller en end er et for fra før få får gennem ham han hans har have havde hende hendes her"
    " hos hun hvad hvem hver hvilke hvilken hvilket hvis hvor hvordan hvorfor hvornår i ikke ind"
    " jeg jer kan kunne man mange med meget mellem men mig min mod må når nogle nogen nu og også"
    " om op os over på sig skal skulle som så til ud uden under var være ved vi vil ville vores",
    "no": "alle at av ble bli blir da de dem den denne der deres det dette din du eller en er et"
    " etter for fordi fra før få får gjennom ha hadde han hans har hennes her hos hun hva hvem"
    " hver hvilke hvilken hvilket hvis hvor hvordan hvorfor i ikke inn jeg kan kunne man mange med"
    " meg mellom men mot må når noe noen nå og også om opp oss over på seg skal skulle som så til"
    " under ut uten var være ved vi vil ville vår",
    "pl": "a aby ale albo bez być był była było były by ci co czy czyli czego dla do dlaczego gdy"
    " gdzie go i ich ile im ja jak jaka jaki jakie jako jego jej jest jeśli już każdy kiedy kto"
    " która które którego której który których którzy ma mają może można na nad nas nie niż o od"
    " on ona one oni oraz pan po pod podczas ponieważ przed przez przy są się swoje ta tak także"
    " tam te tego tej ten to też tu ty tych tylko tym u w wszystkie we więc z za ze że został"
    " jakiej",
    "cs": "a aby ale ani až bez bude by byl byla byli bylo být co či dnes do i ještě jeho jej její"
    " jejich jak jaká jaké jaký jako je jen jsem jsou již k kde kdo kdy když která které který"
    " kteří kolik mají mezi má mě mi může na nad ne nebo není než o od pak po pod podle pokud pro"
    " proč protože před přes při s se si své ta tak také tato ten tento to tu ty u už v ve však"
    " všechny z za ze že",
    "hu": "a ahol akkor alatt ami amely amelyek azt az azok által be csak de e egy egyes el ez"
    " ezek ezt és fel hanem ha hány hogy hogyan hol honnan ide igen is itt jól kell keresztül ki"
    " kik között le lehet lenne lesz már meg melyik mely mennyi mert mi miatt miért mikor milyen"
    " mint most nagy ne nem nincs össze ott pedig sem szerint számára több tud után új vagy van"
    " vannak volt voltak való ezen illetve",
    "fi": "ei eivät eli en että he hän hänen ja jo joka jolla jonka jos jossa jota joten kaikki"
    " kanssa kautta koska kuin kuinka kuka kun kunnes kuten me mihin mikä millä milloin millainen"
    " minkä minä missä mistä mitä mitkä montako moni monta mukaan mutta myös ne niiden niin noin"
    " nyt olen oli olivat olla olleet on onko ovat paljon se sekä sen siellä sillä sinä sitä tai"
    " tämä tämän te tässä vain vai voi",
    "id": "ada adalah agar akan apa apakah atau bagaimana bagi bahwa banyak belum berapa bisa"
    " boleh dalam dan dapat dari dengan di harus hanya ini itu jika juga kami kapan karena ke"
    " kepada kita lain lebih mana maka masih mengapa mereka namun oleh pada para saat sebagai"
    " sebelum secara sedang sejak seperti serta setelah setiap siapa sudah telah tentang terhadap"
    " tidak untuk yaitu yang anda saya",
    "ru": "а без бы был была были было быть в вам вас ваш ваша ваши во вот все всего всех вы где"
    " да для до его ее её если есть еще ещё же за и из или им их к как какая какие каким каких"
    " каков какова каково какого какое какой какую ко когда кого кому которая которого которой"
    " которое который которые кто куда ли лишь между меня мне может можно мой моя мы на над надо"
    " нам нас наш наша наши не него нее ней нет ни них но о об однако он она они оно от откуда"
    " очень по под после потому почему при про с свой свои своего своей себя сколько со так также"
    " такой там тем то того тоже той только том ту ты у уже хотя чего чей чем через что чтобы чья"
    " эта эти этих это этого этой этом этот эту я номер",
    "uk": "або але без був була було були бути в вас ви від він вона вони воно все всі вже де для"
    " до за з зі із й і його її їх йому коли кого ким котрий крім куди ми між мені мною може на"
    " над нас наш не немає ні ну о об ось перед під після по при про саме свій свої себе скільки"
    " та так також там те тільки ти то того тому у хто це цей ці цього цієї чи чим чому щоб що як"
    " яка яке який якщо які якого ще є",
    "bg": "а ако аз без беше бил била били в ви във все всички вие да до докато го дали е един"
    " една едно за защо защото и из или им има как каква какви какво какъв кога когато който която"
    " което които колко кой коя къде към между ми може много му на над най не него нея ни но някой"
    " няма о от по под пред през при са само се си след според с със сме съм също така такава там"
    " те това този тази тези той тя ще що",
    "sr": "а ако али бити био била били биће без да до где за зато и из или им има ја је јер још"
    " када како ко коју који која које колико кад ли ми може на над не није њега њен њихов о од он"
    " она они по под пре при са сам само се смо су та тај те то ту у уз шта што",
    "el": "ο η το οι τα του της των τον την τους τις στο στη στην στον στους στις στα ένας ένα μια"
    " μία ενός μιας και ή αλλά ότι πως που πού πώς πότε πόσο πόσα πόσες πόσοι πόση πόσους ποιος"
    " ποια ποιο ποιοι ποιες ποιον ποιους ποιας τι γιατί είναι ήταν έχει έχουν είχε θα να δεν μην"
    " μη με σε από για προς κατά μετά πριν χωρίς μεταξύ μέχρι έως ως αν όταν όπως όπου αυτό αυτή"
    " αυτός αυτά αυτές αυτοί αυτού αυτής αυτών αυτόν αυτήν μου σου μας σας κάθε όλα όλοι όλες πολύ"
    " επίσης μόνο εκεί εδώ υπάρχει υπάρχουν μπορεί μπορώ πρέπει οποίο οποία οποίος οποίες οποίοι"
    " επειδή ενώ ανά υπό περί",
    "hi": "का की के को में से पर ने है हैं था थी थे हो होता होती होते हुआ हुई हुए हूँ और या एक यह"
    " ये वह वे इस इसका इसकी इसके इसे इन इनका इनकी उस उसका उसकी उसके उसे उन उनका उनकी उनके उन्हें"
    " जो जिस जिसे जिसमें जब तब कि तो भी ही नहीं न मत क्या कौन किस किसे किसने किसका किसकी किसके किन"
    " कब कहाँ कहां क्यों कैसे कितना कितनी कितने कौनसा कौनसी कुछ सब सभी हर अपना अपनी अपने तक लिए"
    " साथ बाद पहले द्वारा अनुसार बीच बारे रहा रही रहे गया गई गए कर करना करता करती करते किया किए"
    " जाता जाती जाते जाना सकता सकती सकते मैं मुझे मेरा मेरी मेरे हम हमें हमारा हमारी हमारे आप आपका"
    " आपकी आपके वाला वाली वाले यहाँ वहाँ अगर लेकिन बहुत",
    "ar": "في من على إلى الى عن مع هو هي هم هما هذا هذه ذلك تلك هؤلاء التي الذي الذين ما ماذا متى"
    " أين اين كيف كم لماذا لما هل أي اي أية أن ان إن أو او و ثم لا لم لن ليس ليست كان كانت كانوا"
    " يكون تكون قد كل بعض غير بين بعد قبل عند عندما حتى منذ خلال حول دون تحت فوق أمام له لها لهم"
    " لي به بها فيه فيها منه منها عليه عليها إليه إليها عنه عنها نحن أنا انا أنت كما لكن ولكن إذا"
    " اذا أيضا ايضا أما اما لدى هناك هنا يتم تم مثل ضد يوجد توجد وفي ومن وعلى وهو وهي بما مما لأن",
    "fa": "از است این آن با به برای بود بودند چه چرا چگونه چند چقدر را که در و یا تا هر هم نیز شد"
    " شده می کجا کدام کی کیست چیست خود دارد دارند هستند یک اگر اما ما من شما او آنها کرد کرده باید"
    " توسط پس پیش روی",
    "ur": "کا کی کے کو میں سے پر نے ہے ہیں تھا تھی تھے اور یا ایک یہ وہ اس ان جو جب کہ تو بھی ہی"
    " نہیں کیا کون کب کہاں کیوں کیسے کتنا کتنی کتنے کس کسی تک لیے ساتھ بعد",
    "mr": "आहे आहेत आणि हा ही हे तो ती ते त्या त्याचा कोण काय कधी कुठे का कसे किती या एक व नाही"
    " होते होता होती साठी मध्ये पासून पर्यंत झाला झाली",
    "ne": "छ छन् र को मा ले लाई यो त्यो हो के कहिले कहाँ किन कसरी कति हुन् थियो भएको गर्न लागि",
}
